"""The public routes as an OpenAPI document; the gateway merges it with those of the other services.

The pipeline reads requests by itself, so that its checks keep their order; what FastAPI cannot see of them is said
here, from the same table of routes (`app.state.routes`) that serves them.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI

from services.identity.routes import Route

Document = dict[str, Any]
OPEN = frozenset(
    {"/v1/sign-in", "/v1/password-resets", "/v1/password-resets/complete", "/v1/invitations/accept"}
)
"""Paths that ask for no credential."""
FORMS = {"/v1/introspect": "application/x-www-form-urlencoded"}
TEXT: Document = {"type": "string"}
REF = "#/components/schemas/"
PROBLEM: Document = {
    "type": "object",
    "description": "RFC 9457. A refusal adds rule, missing_permission and who_can.",
    "required": ["type", "title", "status", "code", "detail", "request_id"],
    "properties": {
        **dict.fromkeys(
            ("type", "title", "code", "detail", "request_id", "rule", "missing_permission"), TEXT
        ),
        "status": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": dict.fromkeys(("pointer", "code", "detail"), TEXT),
            },
        },
        "who_can": {
            "type": "array",
            "items": {"type": "object", "properties": dict.fromkeys(("id", "name"), TEXT)},
        },
    },
}
CHANGE: Document = {
    "type": "object",
    "description": "What a command did; no events: nothing had to change. Some add role, organization, api_key.",
    "required": ["object", "position", "events", "user", "effects"],
    "properties": {
        "object": {"const": "change"},
        "position": {"type": ["string", "null"]},
        "events": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "type", "version"],
                "properties": {
                    "id": {"type": ["string", "null"]},
                    "type": TEXT,
                    "version": {"type": ["integer", "null"]},
                },
            },
        },
        "user": {"type": ["object", "null"]},
        "effects": {"type": "object"},
    },
}
PROBLEMS: Document = {
    "description": "A problem",
    "content": {"application/problem+json": {"schema": {"$ref": f"{REF}Problem"}}},
}
REPEATABLE: list[Document] = [
    {"name": name, "in": "header", "required": False, "schema": TEXT}
    for name in ("Idempotency-Key", "If-Match")
]


def document(app: FastAPI) -> Document:
    """The document of every public route that is there."""
    made = app.openapi()
    schemas: Document = {
        **made.get("components", {}).get("schemas", {}),
        "Problem": PROBLEM,
        "Change": CHANGE,
    }
    routes: dict[tuple[str, str], Route] = {(route.method, route.path): route for route in app.state.routes}
    paths: Document = {}
    for path, item in made["paths"].items():
        if path.startswith("/v1/"):
            paths[path] = {
                method: _operation(routes[method.upper(), path], operation, schemas)
                for method, operation in item.items()
            }
    return made | {"paths": paths, "components": {"schemas": schemas}}


def _operation(route: Route, found: Document, schemas: Document) -> Document:
    operation: Document = {
        "tags": found["tags"],
        "summary": f"{route.method} {route.path}",
        "description": _description(route),
        "operationId": _name(route),
        "parameters": [*_path_parameters(route.path), *found.get("parameters", [])],
        "responses": {str(route.status): _answer(route), "default": PROBLEMS},
        "x-permission": list(route.permissions),
        "x-confirmation": route.fresh,
    }
    if route.change and route.method != "GET":
        operation["parameters"] += REPEATABLE
    if body := found.get("requestBody"):
        operation["requestBody"] = _body(route.path, body, schemas)
    return operation | ({"security": []} if route.path in OPEN else {})


def _description(route: Route) -> str:
    sentences = [f"Needs {' or '.join(route.permissions)}."] if route.permissions else []
    if route.fresh:
        sentences.append("Needs a session that was confirmed in the last 10 minutes.")
    return " ".join(sentences)


def _name(route: Route) -> str:
    return "_".join(re.findall(r"[a-z]+", f"{route.method.lower()} {route.path.removeprefix('/v1')}"))


def _path_parameters(path: str) -> list[Document]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]


def _answer(route: Route) -> Document:
    if route.status == 204:  # noqa: PLR2004 (no content)
        return {"description": "Done"}
    is_change = route.change and route.method != "GET"
    schema: Document = {"$ref": f"{REF}Change"} if is_change else {"type": "object"}
    return {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _body(path: str, found: Document, schemas: Document) -> Document:
    """The body with the models that it refers to moved to where references look for them."""
    ((kind, content),) = found["content"].items()
    schema: Document = dict(content["schema"])
    schemas |= schema.pop("$defs", {})
    return {"content": {FORMS.get(path, kind): {"schema": schema}}}
