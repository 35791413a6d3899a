"""API keys, introspection, organization, IP rules."""

from __future__ import annotations

import pytest

from tests.e2e.acts import check_change, check_headers
from tests.e2e.client import Client
from tests.e2e.people import RUN, Org, Person, new_org
from tests.e2e.place import Place
from tests.e2e.tape import Tape

NEVER = ("roles.manage", "users.assign_role", "api_keys.manage", "organization.manage")


def test_a_key_is_shown_once_and_works_until_it_is_revoked(acme: Org, owner: Person, tape: Tape) -> None:
    given = {"name": "directory sync", "permissions": ["users.read"]}
    answer = owner.client.post("/v1/api-keys", given, status=201)
    check_change({name: value for name, value in answer.items() if name != "token"}, "api_key.created")
    key = answer["api_key"]
    assert key.keys() >= {"id", "name", "permissions", "created_at", "expires_at", "last_used_at"}
    assert answer["token"].startswith("muk_")
    (record,) = tape.events([answer["events"][0]["id"]])
    check_headers(record)
    assert record.topic == "muster.organizations"
    assert (record.subject, record.sequence) == (key["id"], 1)
    assert answer["token"].encode() not in (record.value or b"")
    client = acme.anyone.with_token(answer["token"])
    client.get("/v1/users", limit=1)
    listed = owner.client.get("/v1/api-keys", limit=200)
    assert key["id"] in {row["id"] for row in listed["data"]}
    assert answer["token"] not in str(listed)
    change = owner.client.delete(f"/v1/api-keys/{key['id']}")
    check_change(change, "api_key.revoked")
    client.refused("GET", "/v1/users", code="unauthenticated", status=401)


@pytest.mark.parametrize("permission", NEVER)
def test_a_key_never_holds_what_only_a_person_may_do(owner: Person, permission: str) -> None:
    given = {"name": "too much", "permissions": ["users.read", permission]}
    answer = owner.client.send("POST", "/v1/api-keys", given)
    assert answer.status_code in (400, 403), answer.text
    assert answer.json()["code"] in ("invalid_request", "permission_not_held")


def test_a_key_cannot_do_what_asks_for_a_person(acme: Org, owner: Person, member: Person) -> None:
    key = acme.api_key("users.read", "users.edit", "users.reset_mfa", "users.reset_password", "users.delete")
    path = f"/v1/users/{member.id}"
    for method, url, body in (
        ("POST", f"{path}/reset-mfa", None),
        ("POST", f"{path}/reset-password", None),
        ("DELETE", path, {"confirm": member.email}),
        ("POST", "/v1/me/confirm", {"password": "x"}),
        ("GET", "/v1/me/sessions", None),
        ("POST", "/v1/sign-out", None),
    ):
        key.refused(method, url, body, code="person_required", status=403)
    check_change(key.patch(path, {"name": "By Key"}), "user.renamed")


def test_a_service_account_acts_in_its_own_name(place: Place, acme: Org, member: Person, tape: Tape) -> None:
    key = acme.anyone.with_token(place.read()["api_key"])
    change = key.patch(f"/v1/users/{member.id}", {"name": "By Key"})
    (record,) = tape.events([change["events"][0]["id"]])
    assert record.headers["ce_authtype"] == "api_key"
    service = key.get("/v1/me")["service"]
    assert record.data["actor"] == {"type": "service"} | service


def test_introspection_tells_what_a_token_is_good_for(
    acme: Org, owner: Person, member: Person, other_org: Org
) -> None:
    key = acme.api_key("tokens.introspect")

    def ask(token: str | None) -> dict[str, object]:
        return key.call("POST", "/v1/introspect", form={"token": token or ""})

    told = ask(member.client.token)
    assert told["active"] is True
    assert (told["sub"], told["session_id"]) == (member.id, member.session["id"])
    assert told.keys() >= {"org", "role", "permissions", "exp", "auth_time", "amr", "position"}
    for dead in ("x", "mus_" + "a" * 49, other_org.owner.client.token):
        assert ask(dead) == {"active": False}
    owner.client.post(f"/v1/users/{member.id}/deactivate")
    assert ask(member.client.token) == {"active": False}


def test_introspection_is_a_form(acme: Org) -> None:
    key = acme.api_key("tokens.introspect")
    answer = key.send("POST", "/v1/introspect", {"token": "x"})
    assert answer.status_code == 400, answer.text


def test_an_organization_is_renamed_by_who_may(acme: Org, owner: Person, tape: Tape) -> None:
    before = owner.client.get("/v1/organization")
    assert before["slug"] == acme.slug
    change = owner.client.patch("/v1/organization", {"name": "Acme Renamed"})
    check_change(change, "organization.settings_changed")
    assert change["user"] is None
    assert change["organization"]["name"] == "Acme Renamed" == owner.client.get("/v1/organization")["name"]
    (record,) = tape.events([change["events"][0]["id"]])
    assert (record.topic, record.key) == ("muster.organizations", before["id"])
    check_change(owner.client.patch("/v1/organization", {"name": "Acme Renamed"}))
    owner.client.patch("/v1/organization", {"name": before["name"]})


def test_enforcing_mfa_is_for_owners_who_are_enrolled(acme: Org, admin: Person, other_org: Org) -> None:
    answer = admin.client.send("PATCH", "/v1/organization", {"mfa_enforced": True})
    assert answer.status_code == 403, answer.text
    other_org.owner.client.refused(
        "PATCH", "/v1/organization", {"mfa_enforced": True}, code="would_lock_you_out", status=409
    )
    assert other_org.owner.client.get("/v1/organization")["mfa_enforced"] is False


def test_enforcing_mfa_holds_at_the_next_request(place: Place, acme: Org) -> None:
    org = new_org(place, acme, f"later-{RUN}")
    person = org.join()
    person.client.get("/v1/me")
    org.owner.enroll()
    org.owner.client.patch("/v1/organization", {"mfa_enforced": True})
    person.client.refused("GET", "/v1/me/sessions", code="enrollment_required", status=401)
    person.enroll()
    person.client.get("/v1/me/sessions")


def test_ip_rules_are_the_addresses_of_live_sessions(
    acme: Org, owner: Person, member: Person, tape: Tape
) -> None:
    key = acme.api_key("ip_rules.read")
    rules = _rules(key)
    (mine,) = [rule for rule in rules if rule["session"] == member.session["id"]]
    assert mine.keys() == {"id", "user", "session", "network", "expires_at"}
    assert (mine["user"], mine["network"]) == (member.id, "127.0.0.1/32")
    granted = tape.wait(
        lambda r: r.type == "ip_rule.granted" and r.subject == member.session["id"], "ip_rule.granted"
    )
    assert (granted.data["id"], granted.data["network"]) == (mine["id"], mine["network"])
    assert granted.sequence == 2  # after session.started, in the stream of the session
    member.client.post("/v1/sign-out", status=204)
    assert member.session["id"] not in {rule["session"] for rule in _rules(key)}


def _rules(client: Client) -> list[dict[str, str]]:
    page = client.get("/v1/ip-rules", limit=200)
    found = page["data"]
    while page["next_cursor"]:
        page = client.get("/v1/ip-rules", limit=200, cursor=page["next_cursor"])
        found += page["data"]
    return found
