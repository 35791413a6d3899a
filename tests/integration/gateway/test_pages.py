from __future__ import annotations

import json

import pytest

from services.gateway import problems
from tests.integration.gateway.conftest import Gateway, gateway_with

NOWHERE = "http://127.0.0.1:1"


def document(path: str, **components: object) -> dict[str, object]:
    reference = {"$ref": "#/components/schemas/Change"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "One service", "version": "1"},
        "paths": {
            path: {"get": {"responses": {"200": reference}}},
            "/internal/head": {"get": {}},
            "/ready": {},
        },
        "components": {"schemas": components},
    }


async def test_live_says_only_that_the_gateway_runs() -> None:
    async with gateway_with(MUSTER_URLS__IDENTITY=NOWHERE) as gateway:
        answer = await gateway.ask("GET", "/live")
        assert (answer.status, answer.json()) == (200, {"live": True})


@pytest.mark.parametrize(
    ("identity", "audit", "status", "states"),
    [
        (200, 200, 200, {"identity": "ready", "audit": "ready"}),
        (204, 503, 200, {"identity": "ready", "audit": "not_ready"}),
        (503, 200, 503, {"identity": "not_ready", "audit": "ready"}),
    ],
)
async def test_ready_is_what_identity_is_and_shows_audit(
    gateway: Gateway, identity: int, audit: int, status: int, states: dict[str, str]
) -> None:
    gateway.identity.documents["/ready"] = (identity, {})
    gateway.audit.documents["/ready"] = (audit, {})
    answer = await gateway.ask("GET", "/ready")
    assert (answer.status, answer.json()) == (status, {"ready": status == 200, **states})


async def test_a_service_that_refuses_our_key_is_not_ready() -> None:
    async with gateway_with() as gateway:
        gateway.identity.documents["/internal/openapi.json"] = (401, {})
        answer = await gateway.ask("GET", "/ready")
        assert (answer.status, answer.json()["identity"]) == (503, "refuses_our_key")
        gateway.identity.documents["/internal/openapi.json"] = (200, {})
        assert (await gateway.ask("GET", "/ready")).status == 200


async def test_without_identity_nothing_is_ready() -> None:
    async with gateway_with(MUSTER_URLS__IDENTITY=NOWHERE, MUSTER_URLS__AUDIT=NOWHERE) as gateway:
        answer = await gateway.ask("GET", "/ready")
        assert (answer.status, answer.json()) == (503, {"ready": False, "identity": "away", "audit": "away"})


@pytest.mark.parametrize("code", sorted(problems.codes()))
async def test_every_code_has_a_page(gateway: Gateway, code: str) -> None:
    answer = await gateway.ask("GET", f"/problems/{code}")
    assert answer.status == 200
    assert answer.get("content-type") == "text/html; charset=utf-8"
    assert "default-src 'none'" in (answer.get("content-security-policy") or "")
    assert f"<code>{code}</code>" in answer.body.decode()


@pytest.mark.parametrize("code", ["nonsense", "%3Cscript%3E", "..", "unauthenticated/x", ""])
async def test_an_unknown_code_has_none(gateway: Gateway, code: str) -> None:
    answer = await gateway.ask("GET", f"/problems/{code}")
    assert (answer.status, answer.json()["code"]) == (404, "not_found")
    assert b"script" not in answer.body


async def test_pages_know_reading_only(gateway: Gateway) -> None:
    answer = await gateway.ask("POST", "/problems/not_found", b"{}")
    assert (answer.status, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.get("allow")


async def test_openapi_is_one_document_of_all_services() -> None:
    async with gateway_with() as gateway:
        for service, path, kind in (
            (gateway.identity, "/v1/users", "object"),
            (gateway.audit, "/v1/audit", "string"),
            (gateway.notifier, "/v1/session-kills/{id}", "object"),
        ):
            service.documents["/internal/openapi.json"] = (200, document(path, Change={"type": kind}))
        answer = await gateway.ask("GET", "/openapi.json")
        assert answer.status == 200
        merged = answer.json()
        assert merged["openapi"] == "3.1.0"
        assert {"/v1/users", "/v1/audit", "/v1/session-kills/{id}", "/live"} <= merged["paths"].keys()
        assert not [path for path in merged["paths"] if path.startswith("/internal")]
        assert merged["components"]["schemas"] == {
            "Change": {"type": "object"},
            "Change2": {"type": "string"},
        }
        assert gateway.identity.last.get("muster-service-key") == "identity-new"
        asked = len(gateway.identity.seen)
        assert (await gateway.ask("GET", "/openapi.json")).json() == merged
        assert len(gateway.identity.seen) == asked


async def test_openapi_lacks_audits_part_while_audit_is_away() -> None:
    async with gateway_with(MUSTER_URLS__AUDIT=NOWHERE) as gateway:
        gateway.identity.documents["/internal/openapi.json"] = (200, document("/v1/users"))
        merged = (await gateway.ask("GET", "/openapi.json")).json()
        assert "/v1/users" in merged["paths"]
        assert "/v1/audit" not in merged["paths"]


async def test_openapi_is_unavailable_while_identity_is() -> None:
    async with gateway_with(MUSTER_URLS__IDENTITY=NOWHERE) as gateway:
        answer = await gateway.ask("GET", "/openapi.json")
        assert (answer.status, answer.json()["code"]) == (503, "unavailable")
        assert answer.get("retry-after") == "1"


async def test_the_contracts_files_are_served(gateway: Gateway) -> None:
    answer = await gateway.ask("GET", "/asyncapi.yaml")
    assert answer.status == 200
    assert answer.body.startswith(b"asyncapi:")
    answer = await gateway.ask("GET", "/schemas/user.deactivated/1.json")
    assert answer.status == 200
    assert json.loads(answer.body)
    assert answer.get("content-type") == "application/schema+json"


@pytest.mark.parametrize(
    "path",
    [
        "/schemas/user.deactivated/99.json", "/schemas/nothing/1.json", "/schemas/../pyproject.toml",
        "/schemas/..%2f..%2fpyproject/1.json", "/schemas/user.deactivated/%2e%2e.json", "/schemas/",
    ],
)  # fmt: skip
async def test_no_other_file_is(gateway: Gateway, path: str) -> None:
    assert (await gateway.ask("GET", path)).status == 404
