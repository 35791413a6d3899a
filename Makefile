# Needs Python >= 3.11 and make, nothing else. `make help` lists the commands.
.DEFAULT_GOAL := help
.PHONY: help up down reset screens test lint types fmt verify setup setup-dev lock
SHELL := /bin/sh
PY := .venv/bin/python -P
MUSTER := @$(PY) -m services.cli.main
T ?= tests

help:  ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

up: setup  ## Start everything; with DETACH=1 in the background
	@exec $(PY) -m services.cli.main up $(if $(DETACH),--detach)

down: setup  ## Stop what `make up` started
	$(MUSTER) down

reset: setup  ## Stop it and delete its data
	$(MUSTER) reset

test: setup-dev  ## Run all tests on real servers, or those of T=path; with W=2 by two workers with servers of their own
	@$(PY) -m pytest $(if $(W),-n $(W)) "$(T)"

bench: setup-dev  ## Print the table of figures, on servers of its own; N="http audit" for some of them
	@$(PY) -m tests.bench $(N)

faults: setup-dev  ## Try hard to break what it promises: the long form (2 hours) of tests/faults
	@FAULTS=long $(PY) -m pytest --timeout 0 tests/faults

lint: setup-dev  ## Check style, and which module may import which
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@.venv/bin/python -c 'from importlinter.cli import lint_imports_command as run; run()'

types: setup-dev  ## Check types (pyright, strict)
	@$(PY) -m pyright

fmt: setup-dev  ## Format the code
	@$(PY) -m ruff check --fix --quiet . || true
	@$(PY) -m ruff format .

verify: setup-dev  ## Check that generated files are up to date, and vendored ones as they came
	@$(PY) -m muster_contracts.generate --check
	@$(PY) -m pytest -q tests/console/test_protection.py -k vendored

screens: setup-dev  ## Write pictures of the console that `make up` runs to docs/screens/
	@$(PY) -m tests.screens

setup:  ## Make .venv with what `make up` needs (done by itself)
	@cmp -s requirements.lock .venv/requirements.lock \
	  || PYTHON="$(PYTHON)" sh deploy/local/python.sh deploy/local/environment.py

setup-dev:  ## Make .venv with everything (done by itself)
	@cmp -s requirements-dev.lock .venv/requirements-dev.lock \
	  || PYTHON="$(PYTHON)" sh deploy/local/python.sh deploy/local/environment.py --dev

lock:  ## Renew both lock files from pyproject.toml (needs uv)
	UV_PYTHON_DOWNLOADS=never uv pip compile -q --generate-hashes --universal --python-version 3.11 \
	  --no-header --no-annotate pyproject.toml -o requirements.lock
	UV_PYTHON_DOWNLOADS=never uv pip compile -q --generate-hashes --universal --python-version 3.11 \
	  --no-header --no-annotate -c requirements.lock pyproject.toml --group dev -o requirements-dev.lock
