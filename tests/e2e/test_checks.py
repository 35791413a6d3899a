"""Refusals: the order of checks of `api.md` §2, and what a problem document tells."""

from __future__ import annotations

import pytest

from tests.e2e.acts import audit_of
from tests.e2e.client import Client, Json, problem
from tests.e2e.people import Org, Person
from tests.e2e.place import Place

NOBODY = "usr_" + "0" * 26
BAD_TOKENS = ("", "mus_", "mus_" + "a" * 49, "muk_" + "0" * 49, "mui_" + "a" * 49, "x" * 5000, "mus_ä")


@pytest.mark.parametrize("token", BAD_TOKENS)
def test_a_credential_that_is_none_is_unauthenticated(anyone: Client, token: str) -> None:
    if not token.isascii():
        answer = anyone.http.get("/v1/me", headers=[(b"Authorization", b"Bearer " + token.encode())])
    else:
        answer = anyone.http.get("/v1/me", headers={"Authorization": f"Bearer {token}".strip()})
    problem(answer, "unauthenticated", 401)


def test_no_credential_comes_before_everything_else(anyone: Client) -> None:
    anyone.refused("GET", "/v1/users?no_such=1", code="unauthenticated", status=401)
    anyone.refused("PATCH", f"/v1/users/{NOBODY}", {"x": 1}, code="unauthenticated", status=401)


def test_a_missing_permission_comes_before_bad_input_and_look_up(member: Person) -> None:
    for method, path, body in (
        ("GET", "/v1/users?no_such=1", None),
        ("GET", f"/v1/users/{NOBODY}", None),
        ("POST", f"/v1/users/{NOBODY}/deactivate", {"unknown": 1}),
        ("PATCH", f"/v1/users/{NOBODY}", {"unknown": 1}),
    ):
        document = member.client.refused(method, path, body, code="permission_missing", status=403)
        assert document["missing_permission"].startswith("users.")
        assert document["rule"]


def test_bad_input_comes_before_look_up(owner: Person) -> None:
    document = owner.client.refused(
        "POST", f"/v1/users/{NOBODY}/deactivate", {"unknown": 1}, code="invalid_request", status=400
    )
    assert document["errors"][0].keys() >= {"pointer", "code", "detail"}
    assert document["errors"][0]["pointer"] == "/unknown"
    owner.client.refused("POST", f"/v1/users/{NOBODY}/deactivate", code="not_found", status=404)


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[]", b'"x"', b"null", b'{"name": 1}', b'{"name": "\xff"}', b'{"name": "a\\u0000b"}', b"{}" * 2],
)
def test_a_body_that_is_no_request_is_400(owner: Person, member: Person, raw: bytes) -> None:
    answer = owner.client.http.request(
        "PATCH",
        f"/v1/users/{member.id}",
        content=raw,
        headers={"Authorization": f"Bearer {owner.client.token}", "Content-Type": "application/json"},
    )
    problem(answer, "invalid_request", 400)


@pytest.mark.parametrize(
    "field", ["org_id", "status", "permissions", "password_hash", "version", "mfa", "id"]
)
def test_a_field_that_nobody_may_set_is_refused(acme: Org, owner: Person, member: Person, field: str) -> None:
    """T31: mass assignment."""
    before = acme.user(member.id)
    owner.client.refused("PATCH", f"/v1/users/{member.id}", {field: "x"}, code="invalid_request", status=400)
    assert acme.user(member.id) == before


def test_an_unknown_id_malformed_deleted_or_of_another_org_are_all_the_same(
    acme: Org, owner: Person, member: Person, other_org: Org
) -> None:
    owner.client.delete(f"/v1/users/{member.id}", {"confirm": member.email})
    bodies: list[Json] = []
    for user in (NOBODY, member.id, other_org.owner.id):
        document = owner.client.refused("GET", f"/v1/users/{user}", code="not_found", status=404)
        document.pop("request_id")
        bodies.append(document)
    assert bodies[0] == bodies[1] == bodies[2]


def test_owner_protection_comes_before_the_lock_out_guard_and_confirmation(acme: Org, admin: Person) -> None:
    document = admin.client.refused(
        "DELETE", f"/v1/users/{acme.owner.id}", {"confirm": "x"}, code="owner_protected", status=403
    )
    assert document["rule"]
    assert 1 <= len(document["who_can"]) <= 5


def test_acting_on_oneself_is_refused(acme: Org, owner: Person) -> None:
    """Nobody deactivates, deletes or demotes themself, nor resets their own MFA (spec §2)."""
    person = acme.join("admin").enroll()
    path = f"/v1/users/{person.id}"
    for method, url, body in (
        ("POST", f"{path}/deactivate", None),
        ("PATCH", path, {"active": False}),
        ("PATCH", path, {"role": "member"}),
        ("DELETE", path, {"confirm": "wrong"}),
        ("POST", f"{path}/reset-mfa", None),
    ):
        person.client.refused(method, url, body, code="self_action", status=403)
    person.client.patch(path, {"name": "My Own Name"})


def test_nobody_acts_on_someone_whose_permissions_are_not_all_their_own(
    acme: Org, owner: Person, place: Place
) -> None:
    desk = acme.api_key("users.read", "users.edit", "users.deactivate")
    target = acme.join("admin")
    document = desk.refused("POST", f"/v1/users/{target.id}/deactivate", code="target_outranks", status=403)
    assert document["who_can"]
    plain = acme.join()
    desk.post(f"/v1/users/{plain.id}/deactivate")


def test_who_can_is_told_to_those_who_may_read_users_only(acme: Org, owner: Person, member: Person) -> None:
    reader = acme.api_key("users.read")
    told = reader.refused("POST", f"/v1/users/{member.id}/deactivate", code="permission_missing", status=403)
    assert told["missing_permission"] == "users.deactivate"
    assert 1 <= len(told["who_can"]) <= 5
    blind = acme.api_key("roles.read")
    untold = blind.refused("POST", f"/v1/users/{member.id}/deactivate", code="permission_missing", status=403)
    assert "who_can" not in untold


def test_an_unknown_parameter_names_the_nearest(owner: Person) -> None:
    document = owner.client.refused("GET", "/v1/users?stauts=active", code="unknown_parameter", status=400)
    assert "'status'" in document["detail"]
    owner.client.refused("GET", "/v1/audit?actr=x", code="unknown_parameter", status=400)


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=201", "limit=x", "sort=nothing", "status=gone", "mfa=maybe", "cursor=x"),
        *("last_sign_in_before=yesterday", "created_since=x", "role=rol_x"),
    ],
)
def test_a_parameter_with_a_value_that_cannot_be_is_400(owner: Person, query: str) -> None:
    answer = owner.client.send("GET", f"/v1/users?{query}")
    if query in ("status=gone", "mfa=maybe", "role=rol_x") and answer.status_code == 200:
        assert answer.json()["data"] == []  # enums are open: a value that nobody has finds nobody
        return
    assert answer.status_code == 400, answer.text
    assert answer.json()["code"] in ("invalid_request", "cursor_mismatch"), answer.text


def test_a_refusal_is_audited_with_its_rule(acme: Org, admin: Person, owner: Person) -> None:
    answer = admin.client.send("POST", f"/v1/users/{owner.id}/deactivate")
    request = problem(answer, "owner_protected", 403)["request_id"]
    position = answer.headers["Muster-Position"]
    records = audit_of(owner.client, position, actor=admin.id, outcome="refused")
    (record,) = [record for record in records if record["request_id"] == request]
    assert (record["type"], record["code"]) == ("user.deactivate", "owner_protected")
    assert record["target"]["id"] == owner.id
    assert record["ip"] == "127.0.0.1"
    assert admin.name in record["sentence"]


def test_a_problem_has_a_page(anyone: Client) -> None:
    for code in ("not_found", "last_administrator", "owner_protected", "confirmation_required"):
        page = anyone.http.get(f"/problems/{code}")
        assert page.status_code == 200
        assert code in page.text
    assert anyone.http.get("/problems/no_such_code").status_code == 404


def test_an_unknown_path_and_method_are_problems_too(anyone: Client, owner: Person) -> None:
    for client in (anyone, owner.client):
        answer = client.http.get("/v1/nothing", headers={"Authorization": f"Bearer {client.token}"})
        assert answer.status_code in (401, 404)
        assert answer.headers["content-type"].startswith("application/problem+json")
    answer = owner.client.http.put("/v1/users", headers={"Authorization": f"Bearer {owner.client.token}"})
    assert answer.status_code in (404, 405)
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_every_answer_has_a_request_id_of_ours(anyone: Client, owner: Person) -> None:
    answer = owner.client.send("GET", f"/v1/users/{NOBODY}", headers={"X-Request-Id": "theirs"})
    ours = answer.json()["request_id"]
    assert ours != "theirs"
    assert ours in answer.headers.values()
