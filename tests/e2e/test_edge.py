"""What the gateway itself answers: health, documents, limits, and whose address counts."""

from __future__ import annotations

from tests.e2e.acts import audit_of
from tests.e2e.client import Client
from tests.e2e.people import Org, Person


def test_health_is_told_to_everyone(anyone: Client) -> None:
    assert anyone.http.get("/live").status_code == 200
    assert anyone.http.get("/ready").status_code == 200


def test_every_answer_says_how_much_is_left(owner: Person) -> None:
    answer = owner.client.send("GET", "/v1/me")
    assert answer.headers["RateLimit-Policy"]
    assert answer.headers["RateLimit"]


def test_nothing_of_a_person_is_kept_by_a_cache(owner: Person) -> None:
    for path in ("/v1/me", "/v1/users", f"/v1/users/{owner.id}", "/v1/audit", "/v1/no-such"):
        assert owner.client.send("GET", path).headers["Cache-Control"] == "no-store"


def test_a_client_cannot_say_what_its_address_is(acme: Org, owner: Person, member: Person) -> None:
    forged = {
        "X-Forwarded-For": "10.9.9.9",
        "Forwarded": "for=10.9.9.9",
        "X-Real-IP": "10.9.9.9",
        "Muster-Client-Address": "10.9.9.9",
        "Muster-Request-Id": "req_forged",
    }
    change = owner.client.patch(f"/v1/users/{member.id}", {"name": "From Here"}, headers=forged)
    (record,) = audit_of(owner.client, change["position"], target=member.id, type="user.renamed")
    assert record["ip"] == "127.0.0.1"
    assert record["request_id"] != "req_forged"


def test_the_trace_of_a_client_is_not_ours(acme: Org, owner: Person, member: Person) -> None:
    theirs = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    change = owner.client.patch(f"/v1/users/{member.id}", {"name": "Traced"}, headers={"traceparent": theirs})
    (record,) = acme.tape.events(event["id"] for event in change["events"])
    assert "a" * 32 not in record.headers["ce_traceparent"]
    assert record.headers["ce_correlationid"].startswith("req_")


def test_the_documents_need_no_credential(anyone: Client) -> None:
    document = anyone.http.get("/openapi.json")
    assert document.headers["content-type"].startswith("application/json")
    assert document.json()["openapi"].startswith("3.1")
    assert anyone.http.get("/asyncapi.yaml").status_code == 200
    assert anyone.http.get("/schemas/user.deactivated/1.json").json()
    assert anyone.http.get("/schemas/user.deactivated/99.json").status_code == 404
