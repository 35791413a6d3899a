"""Every route that is served, with every kind of credential: what is another organization's looks like nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.client import Client
from tests.e2e.people import Org, Person
from tests.e2e.place import Place

METHODS = ("get", "post", "patch", "put", "delete")
PREFIXES = {
    "users": "usr",
    "roles": "rol",
    "sessions": "ses",
    "api-keys": "key",
    "factors": "fac",
    "session-kills": "kil",
    "audit": "aud",
    "jobs": "job",
    "schedules": "sch",
    "subscribers": "svc",
}
PER_ANSWER = {"date", "muster-position", "ratelimit", "content-length"}
ROUTES = {
    *("POST /v1/sign-in", "POST /v1/sign-in/otp", "POST /v1/sign-out", "GET /v1/me", "PATCH /v1/me"),
    *("POST /v1/me/password", "POST /v1/me/confirm", "GET /v1/me/sessions", "DELETE /v1/me/sessions/{}"),
    *("POST /v1/me/factors", "POST /v1/me/factors/{}/activate", "DELETE /v1/me/factors/{}"),
    *("POST /v1/me/recovery-codes", "POST /v1/password-resets", "POST /v1/password-resets/complete"),
    *("POST /v1/invitations/accept", "GET /v1/users", "GET /v1/users/{}", "POST /v1/users"),
    *("POST /v1/users/{}/resend-invitation", "PATCH /v1/users/{}", "POST /v1/users/{}/deactivate"),
    *("POST /v1/users/{}/reactivate", "POST /v1/users/{}/reset-mfa", "POST /v1/users/{}/reset-password"),
    *("DELETE /v1/users/{}", "POST /v1/users/{}/delete", "GET /v1/users/{}/sessions"),
    *("DELETE /v1/users/{}/sessions", "DELETE /v1/users/{}/sessions/{}", "GET /v1/users/{}/timeline"),
    *("GET /v1/roles", "GET /v1/roles/{}", "GET /v1/organization", "PATCH /v1/organization"),
    *("GET /v1/api-keys", "POST /v1/api-keys", "DELETE /v1/api-keys/{}", "GET /v1/ip-rules"),
    *(
        "POST /v1/introspect",
        "GET /v1/session-kills/{}",
        "GET /v1/undelivered-messages",
        "GET /v1/audit",
        "GET /v1/audit/{}",
        "GET /v1/audit/count",
    ),
}


@pytest.fixture(scope="module")
def served(anyone: Client) -> list[tuple[str, str]]:
    """Method and path of every route in the OpenAPI document."""
    document = anyone.http.get("/openapi.json").json()
    assert document["openapi"].startswith("3.")
    return sorted((m.upper(), path) for path, item in document["paths"].items() for m in item if m in METHODS)


def test_the_document_holds_every_route_of_the_contract_and_no_internal_one(
    served: list[tuple[str, str]],
) -> None:
    found = {f"{method} {_bare(path)}" for method, path in served}
    assert found >= ROUTES, ROUTES - found
    assert not [path for _, path in served if "internal" in path]


@pytest.mark.parametrize(
    "path", ["/internal/head", "/internal/events?after=0", "/internal/openapi.json", "/v1/../internal/head"]
)
def test_internal_routes_are_not_reached_from_outside(anyone: Client, owner: Person, path: str) -> None:
    headers = {"Authorization": f"Bearer {owner.client.token}", "Muster-Service-Key": "x"}
    answer = anyone.http.get(path, headers=headers)
    assert answer.status_code in (401, 404), answer.text


class Walk:
    """Ids of everything that the other organization has, and of nothing."""

    def __init__(self, other: Org) -> None:
        person = other.join()
        self.person = person
        owner = other.owner.client
        key = owner.post("/v1/api-keys", {"name": "walked", "permissions": ["users.read"]}, status=201)
        factor = person.client.post("/v1/me/factors", {"type": "totp"})
        kill = owner.delete(f"/v1/users/{other.join().id}/sessions")["effects"]["kill"]
        self.foreign = {
            "users": person.id,
            "roles": owner.get("/v1/roles/member")["id"],
            "sessions": person.session["id"],
            "api-keys": key["api_key"]["id"],
            "factors": factor["id"],
            "session-kills": kill,
            "audit": owner.get("/v1/audit", limit=1)["data"][0]["id"],
        }

    def url(self, path: str, *, foreign: bool) -> str:
        parts = path.split("/")
        for n, part in enumerate(parts):
            if part.startswith("{"):
                kind = parts[n - 1]
                nothing = f"{PREFIXES.get(kind, 'usr')}_{'0' * 26}"
                parts[n] = self.foreign.get(kind, nothing) if foreign else nothing
        return "/".join(parts)

    def body(self, method: str, path: str) -> dict[str, Any] | None:
        if method == "GET":
            return None
        if method == "PATCH":
            return {"name": "Walked Over"}
        if path.endswith("/activate"):
            return {"code": "123456"}
        if method == "DELETE" and path.count("{") == 1 and "/v1/users/" in path and "sessions" not in path:
            return {"confirm": self.person.email}
        return {"confirm": self.person.email} if path.endswith("/delete") else None


def test_what_is_another_organizations_looks_like_nothing(
    acme: Org,
    anyone: Client,
    owner: Person,
    admin: Person,
    other_org: Org,
    place: Place,
    served: list[tuple[str, str]],
) -> None:
    walk = Walk(other_org)
    before = other_org.owner.client.get("/v1/users", limit=200)["data"]
    callers = {
        "anonymous": anyone,
        "member": acme.join().client,
        "admin": admin.client,
        "owner": owner.client,
        "key": anyone.with_token(place.read()["api_key"]),
    }
    walked = 0
    for method, path in served:
        if "{" not in path or not path.startswith("/v1"):
            continue
        for who, caller in callers.items():
            body = walk.body(method, path)
            theirs = caller.send(method, walk.url(path, foreign=True), body)
            nothing = caller.send(method, walk.url(path, foreign=False), body)
            assert _looks(theirs) == _looks(nothing), f"{who} {method} {path}"
            assert theirs.status_code in (400, 401, 403, 404), f"{who} {method} {path}: {theirs.text}"
            if who == "owner" and "/me/" not in path:
                assert theirs.status_code == 404, f"{method} {path}: {theirs.text}"
            walked += 1
    assert walked >= 60
    assert other_org.owner.client.get("/v1/users", limit=200)["data"] == before
    walk.person.client.get("/v1/me")


def test_every_route_without_a_credential_is_401_unless_it_is_public(
    anyone: Client, served: list[tuple[str, str]]
) -> None:
    public = {"/v1/sign-in", "/v1/password-resets", "/v1/password-resets/complete", "/v1/invitations/accept"}
    for method, path in served:
        if not path.startswith("/v1") or path in public:
            continue
        url = "/".join("usr_" + "0" * 26 if part.startswith("{") else part for part in path.split("/"))
        anyone.refused(method, url, code="unauthenticated", status=401)


def test_every_route_takes_rubbish_without_a_5xx(
    acme: Org, anyone: Client, owner: Person, served: list[tuple[str, str]]
) -> None:
    person = acme.join("admin")
    for method, path in served:
        if path == "/v1/sign-out" or not path.startswith("/v1"):
            continue
        url = "/".join("%00%ff;--" if part.startswith("{") else part for part in path.split("/"))
        for body in ([], "x", {"\u0000": 1}, {"name": {"a": [1] * 50}}):
            sent = body if method != "GET" else None
            headers = {"Authorization": f"Bearer {person.client.token}"}
            answer = anyone.http.request(method, url, json=sent, headers=headers)
            assert answer.status_code < 500, f"{method} {path}: {answer.text}"


def _looks(answer: httpx.Response) -> tuple[Any, ...]:
    text = answer.text
    if answer.headers.get("content-type", "").startswith("application/problem+json"):
        text = text.replace(answer.json()["request_id"], "…")
    headers = {n: v for n, v in answer.headers.items() if n not in PER_ANSWER and "req_" not in v}
    return answer.status_code, text, headers


def _bare(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))
