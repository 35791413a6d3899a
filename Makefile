# Needs Python >= 3.11 and make, nothing else. `make help` lists the commands.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev lock
SHELL := /bin/sh
PY := .venv/bin/python -P

help:  ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup:  ## Make .venv with what `make up` needs (done by itself)
	@cmp -s requirements.lock .venv/requirements.lock || sh deploy/local/python.sh deploy/local/environment.py

setup-dev:  ## Make .venv with everything (done by itself)
	@cmp -s requirements-dev.lock .venv/requirements-dev.lock || sh deploy/local/python.sh deploy/local/environment.py --dev

lock:  ## Renew both lock files from pyproject.toml (needs uv)
	UV_PYTHON_DOWNLOADS=never uv pip compile -q --generate-hashes --universal --python-version 3.11 \
	  --no-header --no-annotate pyproject.toml -o requirements.lock
	UV_PYTHON_DOWNLOADS=never uv pip compile -q --generate-hashes --universal --python-version 3.11 \
	  --no-header --no-annotate -c requirements.lock pyproject.toml --group dev -o requirements-dev.lock
