"""Identity's process: who may call what, and whether it says truly how it is."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator

import pytest

from services.identity.bootstrap import UNKNOWN_ORG
from tests.support.identity import Place, running_identity
from tests.support.servers import PostgresServer


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


async def test_health_needs_no_service_key(place: Place) -> None:
    for path in ("/live", "/ready"):
        response = await place.http.get(path, headers={"Muster-Service-Key": ""})
        assert response.status_code == 200, response.text
    assert (await place.http.get("/ready")).json() == {"ready": True, "database": True, "writer": True}


async def test_without_a_known_key_nothing_is_answered(place: Place) -> None:
    for path in ("/v1/organization", "/internal/openapi.json", "/internal/head"):
        response = await place.http.get(path, headers={"Muster-Service-Key": "wrong"})
        assert response.status_code == 401


async def test_public_routes_are_for_the_gateway_only(place: Place) -> None:
    org = await place.organization()
    assert (await place.call("GET", "/v1/organization", org.owner)).status_code == 200
    for name in ("audit_identity", "notifier_identity"):
        key = getattr(place.settings.service_keys, name).get_secret_value()
        headers = {"Muster-Service-Key": key}
        response = await place.call("GET", "/v1/organization", org.owner, headers=headers)
        assert response.status_code == 401
        assert (await place.http.get("/internal/openapi.json", headers=headers)).status_code == 401


async def test_the_openapi_document_holds_public_routes_only(place: Place) -> None:
    document = (await place.http.get("/internal/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert all(path.startswith("/v1/") for path in document["paths"])
    assert {"/v1/organization", "/v1/roles", "/v1/api-keys", "/v1/users"} <= document["paths"].keys()


async def test_the_openapi_document_is_whole(place: Place) -> None:
    document = (await place.http.get("/internal/openapi.json")).json()
    refs = set(re.findall(r'"\$ref": ?"#/components/schemas/(\w+)"', json.dumps(document)))
    assert refs <= document["components"]["schemas"].keys()
    operations = [(path, op) for path, item in document["paths"].items() for op in item.values()]
    assert len({op["operationId"] for _, op in operations}) == len(operations)
    for path, operation in operations:
        declared = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert declared == set(re.findall(r"\{(\w+)\}", path))
        assert "default" in operation["responses"]
    assert document["paths"]["/v1/sign-in"]["post"]["security"] == []
    made = document["paths"]["/v1/api-keys"]["post"]
    assert (made["x-permission"], made["x-confirmation"]) == (["api_keys.manage"], True)


async def test_attempts_at_unknown_organizations_have_a_key_to_be_sealed_under(place: Place) -> None:
    async with place.identity.pool.acquire() as connection:
        found = await place.identity.keys.fetch(connection, [UNKNOWN_ORG])
    assert found[UNKNOWN_ORG] is not None
