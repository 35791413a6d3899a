"""The contract as documents: one OpenAPI from those of the services, and what the contracts package holds."""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast

import muster_contracts

from services.gateway.routes import Service
from services.gateway.upstream import Away, Services
from services.kit.telemetry import logger

log = logger(__name__)

Document = dict[str, Any]
FRESH_SECONDS = 60.0
FRESH_SECONDS_WHILE_INCOMPLETE = 2.0
OPENAPI = "/internal/openapi.json"
_OWN: dict[str, str] = {
    "/live": "Whether the gateway runs",
    "/ready": "Whether calls can be served",
    "/openapi.json": "This document",
    "/asyncapi.yaml": "The events, as AsyncAPI 3.0",
    "/schemas/{type}/{version}.json": "The JSON Schema of an event",
    "/problems/{code}": "What an error code means and what to do",
}


class OpenApi:
    """The merged OpenAPI document, asked from the services at most once a minute."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._document: Document = {}
        self._fresh_until = 0.0

    async def get(self) -> Document:
        """The document; the part of audit or notifier is missing while that one is away.

        Raises:
            Away: identity cannot be asked.
        """
        if time.monotonic() >= self._fresh_until:
            parts = [await self._ask("identity")]
            fresh = FRESH_SECONDS
            for service in ("audit", "notifier"):
                try:
                    parts.append(await self._ask(service))
                except Away:
                    fresh = FRESH_SECONDS_WHILE_INCOMPLETE
            self._document = merge(*parts)
            self._fresh_until = time.monotonic() + fresh
        return self._document

    async def _ask(self, service: Service) -> Document:
        status, body = await self._services.document(service, OPENAPI)
        if status != HTTPStatus.OK:
            log.error("a service does not give its OpenAPI document", service=service, status=status)
            raise Away(retry_after=1)
        return json.loads(body)


def merge(*documents: Document) -> Document:
    """One document of the public paths of all; where parts differ under one name, the later is renamed."""
    paths, components = _own_paths(), cast("Document", {})
    for number, document in enumerate(documents, 1):
        given: dict[str, Document] = document.get("components", {})
        parts = [(kind, name, part) for kind, named in given.items() for name, part in named.items()]
        renamed = {
            f"#/components/{kind}/{name}": f"#/components/{kind}/{name}{number}"
            for kind, name, part in parts
            if components.get(kind, {}).get(name, part) != part
        }
        paths |= _redirected(_public(document), renamed)
        for kind, name, part in parts:
            target = renamed.get(f"#/components/{kind}/{name}", name).rpartition("/")[2]
            components.setdefault(kind, {})[target] = _redirected(part, renamed)
    components.setdefault("securitySchemes", {}).setdefault("bearer", {"type": "http", "scheme": "bearer"})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Muster", "version": "1"},
        "security": [{"bearer": []}],
        "paths": paths,
        "components": components,
    }


def _public(document: Document) -> Document:
    return {path: item for path, item in document.get("paths", {}).items() if path.startswith("/v1/")}


def _redirected(node: Any, renamed: dict[str, str]) -> Any:
    match node:
        case dict():
            return {
                name: renamed.get(value, value) if name == "$ref" else _redirected(value, renamed)
                for name, value in cast("Document", node).items()
            }
        case list():
            return [_redirected(value, renamed) for value in cast("list[Any]", node)]
        case _:
            return node


def _own_paths() -> Document:
    return {path: {"get": _operation(path, summary)} for path, summary in _OWN.items()}


def _operation(path: str, summary: str) -> Document:
    operation: Document = {"summary": summary, "security": [], "responses": {"200": {"description": summary}}}
    names = [part.partition("}")[0] for part in path.split("{")[1:]]
    if names:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
        ]
    return operation


class Contracts:
    """The files of the contracts package, read once: `asyncapi.yaml` and `schemas/{type}/{version}.json`."""

    def __init__(self) -> None:
        package = Path(muster_contracts.__file__).parent
        folder = next((place for place in (package, package.parent) if (place / "schemas").is_dir()), package)
        self._files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in (folder / "asyncapi.yaml", *folder.glob("schemas/*/*.json"))
            if path.is_file()
        }

    def find(self, name: str) -> bytes | None:
        """The file of this very name; nothing is looked up on disk."""
        return self._files.get(name)
