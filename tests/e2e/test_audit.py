"""What compliance people read: who did what, found by every filter, with reading itself on record."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from tests.e2e.acts import HERE, audit_of, check_change
from tests.e2e.client import Client, Json, wait_until
from tests.e2e.people import Org, Person

FIELDS = {
    *("seq", "id", "type", "outcome", "code", "occurred_at", "recorded_at", "actor", "delegate", "target"),
    *("ip", "user_agent", "request_id", "session_id", "reason", "changes", "sentence", "seal"),
}


def all_of(client: Client, **params: Any) -> list[Json]:
    found: list[Json] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/v1/audit", limit=200, **params, **cursor)
        found += page["data"]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


def test_a_record_has_exactly_the_fields_of_the_contract(acme: Org, owner: Person, member: Person) -> None:
    answer = owner.client.send(
        "PATCH", f"/v1/users/{member.id}", {"name": "Audited"}, headers={"User-Agent": "audit-test/1"}
    )
    (record,) = audit_of(owner.client, answer.json()["position"], target=member.id, type="user.renamed")
    assert record.keys() == FIELDS
    assert record["actor"].keys() == record["target"].keys() == {"type", "id", "name"}
    assert record["user_agent"] == "audit-test/1"
    assert record["changes"] == {"name": {"old": member.name, "new": "Audited"}}
    assert (record["delegate"], record["code"], record["seal"]) == (None, None, None)
    assert owner.client.get(f"/v1/audit/{record['id']}") == record


def test_records_are_numbered_densely_from_zero(other_org: Org) -> None:
    owner = other_org.owner
    change = owner.client.patch(f"/v1/users/{owner.id}", {"timezone": "Europe/Paris"})
    audit_of(owner.client, change["position"])
    found = all_of(owner.client, type=[*_types(owner.client), "audit.read"], sort="seq") or []
    numbers = sorted(record["seq"] for record in found)
    assert numbers[0] == 0
    assert all(b - a == 1 for a, b in pairwise(numbers)), numbers


def _types(client: Client) -> list[str]:
    return sorted({record["type"] for record in all_of(client)})


def test_filters_select(acme: Org, owner: Person, admin: Person, member: Person) -> None:
    path = f"/v1/users/{member.id}"
    admin.client.patch(path, {"name": "Filtered", "reason": "a rare reason"})
    admin.client.refused("POST", f"{path}/reset-mfa", code="mfa_not_enabled", status=409)
    change = admin.client.post(f"{path}/deactivate")
    audit_of(owner.client, change["position"])

    def found(**params: Any) -> list[Json]:
        return owner.client.get(
            "/v1/audit", **{"actor": admin.id, "target": member.id, "limit": 200} | params
        )["data"]

    assert [r["type"] for r in found(type="user.renamed")] == ["user.renamed"]
    assert {r["type"] for r in found(type=["user.renamed", "user.deactivated"])} == {
        "user.renamed",
        "user.deactivated",
    }
    (refused,) = found(outcome="refused")
    assert (refused["type"], refused["code"]) == ("mfa.reset", "mfa_not_enabled")
    assert not found(outcome="failed")
    assert len(found(ip=HERE)) == len(found())
    assert len(found(ip="127.0.0.0/8")) == len(found())
    assert not found(ip="10.0.0.0/8")
    everything = found()
    times = [record["occurred_at"] for record in everything]
    assert times == sorted(times, reverse=True)
    assert not found(since="2200-01-01T00:00:00Z")
    assert len(found(until="2200-01-01T00:00:00Z")) == len(everything)
    assert {r["type"] for r in found(q="Filtered")} >= {"user.renamed"}


def test_counts_answer_alone(acme: Org, owner: Person, member: Person) -> None:
    change = owner.client.patch(f"/v1/users/{member.id}", {"name": "Counted"})
    audit_of(owner.client, change["position"])
    listed = owner.client.get("/v1/audit", target=member.id, limit=200)
    counted = owner.client.get("/v1/audit/count", target=member.id)
    assert counted == {"count": {"value": len(listed["data"]), "exact": True}}


def test_reading_audit_is_itself_recorded(acme: Org, owner: Person) -> None:
    reader = acme.join("admin")
    reader.client.get("/v1/audit", actor=acme.owner.id, limit=1)

    def recorded() -> list[Json]:
        return owner.client.get("/v1/audit", type="audit.read", actor=reader.id)["data"]

    (record, *_) = wait_until(recorded, "the record of a reading")
    assert record["ip"] == HERE
    assert reader.name in record["sentence"]
    assert not [
        r for r in owner.client.get("/v1/audit", actor=reader.id)["data"] if r["type"] == "audit.read"
    ]


def test_a_sign_in_is_recorded_and_a_refused_one_too(acme: Org, owner: Person, member: Person) -> None:
    answer = acme.try_sign_in(member.email, "wrong" * 4)
    request = answer.json()["request_id"]

    def refused() -> Json | None:
        found = owner.client.get("/v1/audit", outcome="refused", type="session.start", limit=200)["data"]
        return next((record for record in found if record["request_id"] == request), None)

    record = wait_until(refused, "the record of a refused sign-in")
    assert record["code"] == "sign_in_refused"
    assert record["target"]["id"] == member.id
    done = owner.client.get("/v1/audit", actor=member.id, type="session.started")["data"]
    assert [record["session_id"] for record in done] == [member.session["id"]] or done[0]["target"]


def test_a_login_that_exists_nowhere_is_not_kept_readable(acme: Org, owner: Person) -> None:
    secret = "my-password-typed-into-the-wrong-field@e2e.example"
    request = acme.try_sign_in(secret, "wrong" * 4).json()["request_id"]

    def refused() -> Json | None:
        found = owner.client.get("/v1/audit", outcome="refused", type="session.start", limit=200)["data"]
        return next((record for record in found if record["request_id"] == request), None)

    assert secret not in str(wait_until(refused, "the record of the attempt"))
    assert secret.encode() not in b"".join(r.value or b"" for r in acme.tape.records("muster.attempts"))


def test_an_administrator_without_audit_read_sees_none(acme: Org) -> None:
    key = acme.api_key("users.read")
    document = key.refused("GET", "/v1/audit", code="permission_missing", status=403)
    assert document["missing_permission"] == "audit.read"


def test_secrets_are_in_no_record(acme: Org, owner: Person, member: Person) -> None:
    member.enroll()
    new = member.password + "x"
    member.client.post("/v1/me/password", {"current_password": member.password, "password": new}, status=204)
    change = owner.client.post(f"/v1/users/{member.id}/reset-password")
    found = str(audit_of(owner.client, change["position"], target=member.id))
    for secret in (member.password, new, *member.recovery_codes, member.client.token or "", "mur_", "mus_"):
        assert secret not in found


def test_a_foreign_position_is_refused_and_one_of_the_future_waits(acme: Org, owner: Person) -> None:
    answer = owner.client.send("GET", "/v1/audit", params={"min_position": "not-ours"})
    assert answer.status_code == 400, answer.text


def test_a_no_op_writes_no_record(acme: Org, owner: Person, member: Person) -> None:
    owner.client.post(f"/v1/users/{member.id}/deactivate")
    again = owner.client.post(f"/v1/users/{member.id}/deactivate")
    check_change(again)
    records = audit_of(owner.client, again["position"], target=member.id, type="user.deactivated")
    assert len(records) == 1
