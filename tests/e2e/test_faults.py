"""Parts are away or die: commands and sign-ins go on, and everything arrives afterwards, in order, once."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.e2e.acts import audit_of, types
from tests.e2e.client import CAUGHT_UP_WITHIN, Client, Json, wait_until
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import Org, Person
from tests.e2e.place import Place
from tests.e2e.tape import Tape

ROUNDS = 6


def check_arrived(acme: Org, changes: list[Json]) -> None:
    """Every event of these changes is on Kafka in order and in the audit once."""
    wanted = [event for change in changes for event in change["events"]]
    records = acme.tape.events((event["id"] for event in wanted), seconds=CAUGHT_UP_WITHIN)
    assert [record.id for record in records] == [event["id"] for event in wanted]
    for user in {record.key for record in records}:
        first_seen = _first_offsets(acme.tape, user)
        mine = [record.id for record in records if record.key == user]
        assert sorted(mine, key=lambda event: first_seen[event]) == mine
    position = changes[-1]["position"]
    for user in {record.key for record in records}:
        audited = [
            (record["type"], record["request_id"])
            for record in audit_of(acme.owner.client, position, seconds=CAUGHT_UP_WITHIN, target=user)
        ]
        for record in (r for r in records if r.subject == user):
            assert audited.count((record.type, record.headers["ce_correlationid"])) == 1


def _first_offsets(tape: Tape, user: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for record in tape.find(lambda r: r.key == user, "muster.users"):
        found.setdefault(record.id, record.offset)
    return found


def work(acme: Org, targets: list[Person]) -> list[Json]:
    """Commands and sign-ins, as on any day; each must succeed."""
    changes: list[Json] = []
    for number in range(ROUNDS):
        for target in targets:
            path = f"/v1/users/{target.id}"
            changes.append(acme.owner.client.patch(path, {"name": f"{target.name} {number}"}))
            changes.append(acme.owner.client.post(f"{path}/deactivate"))
            changes.append(acme.owner.client.post(f"{path}/reactivate"))
            acme.enter(target)
    return changes


def test_with_kafka_away_commands_and_sign_ins_go_on_and_the_rest_catches_up(
    acme: Org, place: Place, mailbox: Mailbox
) -> None:
    targets = [acme.join() for _ in range(3)]
    with place.frozen("kafka"):
        changes = work(acme, targets)
        invited = acme.invite()
    check_arrived(acme, changes)
    mailbox.wait(invited["email"], link="invitation", seconds=CAUGHT_UP_WITHIN)


def test_with_kafka_killed_it_is_started_again_and_nothing_is_lost(
    acme: Org, place: Place, mailbox: Mailbox
) -> None:
    targets = [acme.join() for _ in range(2)]
    place.kill("kafka")
    changes = work(acme, targets)
    invited = acme.invite()
    check_arrived(acme, changes)
    mailbox.wait(invited["email"], link="invitation", seconds=CAUGHT_UP_WITHIN)


@pytest.mark.parametrize("name", ["relay", "audit", "notifier"])
def test_a_killed_process_is_started_again_and_catches_up(
    acme: Org, place: Place, mailbox: Mailbox, name: str
) -> None:
    targets = [acme.join() for _ in range(2)]
    place.kill(name)
    changes = work(acme, targets)
    invited = acme.invite()
    check_arrived(acme, changes)
    mailbox.wait(invited["email"], link="invitation", seconds=CAUGHT_UP_WITHIN)


def test_with_the_mail_server_away_mails_arrive_later(acme: Org, place: Place, mailbox: Mailbox) -> None:
    place.kill("mail")
    user = acme.invite()
    mailbox.wait(user["email"], link="invitation", seconds=CAUGHT_UP_WITHIN)


@pytest.mark.parametrize("name", ["identity", "gateway", "postgres"])
def test_a_killed_process_of_the_way_in_is_back_and_what_was_decided_holds(
    acme: Org, place: Place, anyone: Client, name: str
) -> None:
    """T11: a revocation is durable state, and sessions live on."""
    out, stays = acme.join(), acme.join()
    change = acme.owner.client.post(f"/v1/users/{out.id}/deactivate")
    place.kill(name)
    wait_until(
        lambda: _status(stays.client, "/v1/me") == 200, f"an answer after {name} was killed", CAUGHT_UP_WITHIN
    )
    assert _status(out.client, "/v1/me") == 401
    assert acme.try_sign_in(out.email, out.password).status_code == 401
    assert types(acme.owner.client.post(f"/v1/users/{out.id}/reactivate")) == ["user.reactivated"]
    acme.tape.events(event["id"] for event in change["events"])
    wait_until(lambda: anyone.http.get("/ready").status_code == 200, "readiness", CAUGHT_UP_WITHIN)


def test_with_the_database_away_nobody_gets_in(acme: Org, place: Place, member: Person) -> None:
    with place.frozen("postgres"):
        answers = [
            _status(member.client, "/v1/me", 3.0),
            _status(acme.anyone.with_token("mus_" + "a" * 49), "/v1/me", 3.0),
        ]
    assert 200 not in answers
    wait_until(
        lambda: _status(member.client, "/v1/me") == 200,
        "an answer after the database is back",
        CAUGHT_UP_WITHIN,
    )


def test_every_process_is_the_one_that_run_json_names(place: Place) -> None:
    pids = place.read()["pids"]
    assert pids.keys() >= {"postgres", "kafka", "gateway", "identity", "relay", "audit", "notifier", "mail"}
    assert len(set(pids.values())) == len(pids)
    for name in ("gateway", "identity", "relay", "audit", "notifier", "mail"):
        command = Path(f"/proc/{pids[name]}/cmdline").read_bytes().decode()
        assert name in command, f"{name}: {command}"


def _status(client: Client, path: str, seconds: float = 10.0) -> int | None:
    """The status of an answer, or None where none came."""
    try:
        headers = {"Authorization": f"Bearer {client.token}"}
        return client.http.get(path, headers=headers, timeout=seconds).status_code
    except httpx.HTTPError:
        return None
