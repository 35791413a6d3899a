"""The whole notifier, as `make up` runs it: from a record in Kafka to a mail, and to the records that tell of it."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from muster_contracts.kills import SessionKillConfirmed

from services.kit.ids import new_id
from services.kit.positions import Opaque
from tests.integration.notifier.process import Notifier, open_notifier
from tests.integration.notifier.world import ORG, deactivated, invitation, mfa_reset, record, until
from tests.support.servers import KafkaServer, PostgresServer


@pytest.fixture
async def notifier(
    postgres_server: PostgresServer, kafka_server: KafkaServer, tmp_path: Path
) -> AsyncIterator[Notifier]:
    async with open_notifier(postgres_server, kafka_server, tmp_path) as notifier:
        yield notifier


async def mails(notifier: Notifier, count: int) -> None:
    async def arrived() -> bool:
        return len(notifier.mailbox.mails) >= count

    await until(arrived, 40)


def invite(notifier: Notifier) -> Any:
    user = notifier.identity.add_user(status="invited")
    return invitation(user, notifier.identity.add_link(user))


def add_kill(notifier: Notifier, *sessions: str) -> tuple[str, str]:
    user, kill = notifier.identity.add_user(), new_id("kil")
    notifier.identity.kills[kill] = {"kill": kill, "user": user, "sessions": list(sessions), "live": []}
    return user, kill


async def test_an_event_becomes_a_mail_and_its_story_is_read_by_a_stranger(notifier: Notifier):
    event = invite(notifier)
    await notifier.publish(event)
    await mails(notifier, 1)
    queued, sent = await notifier.read("muster.notifications", lambda found: len(found) == 2)
    assert [queued.headers["ce_type"], sent.headers["ce_type"]] == [
        "muster.message.queued",
        "muster.message.sent",
    ]
    assert [queued.headers["ce_sequence"], sent.headers["ce_sequence"]] == ["1", "2"]
    assert sent.headers["ce_source"] == "/muster/notifier"
    assert sent.headers["ce_subject"].startswith("msg_")
    assert sent.headers["ce_partitionkey"] == sent.key == event.key.decode()
    assert sent.headers["ce_causationid"] == dict(event.headers)["ce_id"].decode()
    assert "ce_position" not in sent.headers
    value = json.loads(sent.value or b"")
    assert value["kind"] == "invitation"
    assert value["to"] == f"{sent.key}@acme.example"
    assert value["channel"] == "email"


async def test_a_kill_is_ordered_confirmed_and_shown_to_who_may_read_it(notifier: Notifier):
    user, kill = add_kill(notifier, "ses_1")
    await notifier.publish(deactivated(user, 1, kill))
    [order] = await notifier.read("muster.session-kills", lambda found: len(found) == 1)
    assert json.loads(order.value or b"")["sessions"] == ["ses_1"]
    receipt = SessionKillConfirmed(kill=kill, service="billing", ended=3, at=datetime.now(UTC))
    await notifier.publish(
        record(receipt, subject=order.headers["ce_id"], partition_key=user, source="/billing")
    )
    await until(lambda: notifier.pool.fetchval("SELECT count(*) FROM receipts"))

    notifier.identity.may["Bearer ada"] = ORG
    notifier.identity.may["Bearer mallory"] = new_id("org")
    path = f"/v1/session-kills/{kill}"
    status, told, headers = await notifier.get(path, authorization="Bearer ada")
    assert status == 200
    assert told["kill"] == kill
    assert told["user"] == user
    assert [(s["name"], s["status"], s["ended"]) for s in told["services"]] == [("billing", "confirmed", 3)]
    assert Opaque(bytes(32)).read_position(ORG, headers["Muster-Position"]) == 17

    foreign = await notifier.get(path, authorization="Bearer mallory")
    unknown = await notifier.get(f"/v1/session-kills/{new_id('kil')}", authorization="Bearer ada")
    malformed = await notifier.get("/v1/session-kills/x", authorization="Bearer ada")
    for status, told, _ in (foreign, unknown, malformed):
        assert (status, told["code"]) == (404, "not_found")


async def test_who_may_not_gets_identitys_own_answer_before_any_other_check(notifier: Notifier):
    path = f"/v1/session-kills/{new_id('kil')}?x=1"
    status, told, _ = await notifier.get(path, authorization="Bearer nobody")
    assert (status, told["code"]) == (403, "permission_missing")
    notifier.identity.may["Bearer ada"] = ORG
    status, told, _ = await notifier.get(path, authorization="Bearer ada")
    assert (status, told["code"]) == (400, "unknown_parameter")
    notifier.identity.away = True
    status, told, headers = await notifier.get(path, authorization="Bearer ada")
    assert (status, told["code"], headers["Retry-After"]) == (503, "unavailable", "1")


async def test_nothing_is_answered_without_the_gateways_key(notifier: Notifier):
    for path in (f"/v1/session-kills/{new_id('kil')}", "/internal/openapi.json"):
        status, told, _ = await notifier.get(path, muster_service_key="wrong")
        assert (status, told["code"]) == (401, "unauthenticated")
    status, told, _ = await notifier.get("/internal/openapi.json")
    assert (status, list(told["paths"])) == (
        200, ["/v1/session-kills/{id}", "/v1/undelivered-messages"],
    )  # fmt: skip


async def test_a_mail_server_that_is_away_is_told_and_its_mails_go_out_when_it_is_back(notifier: Notifier):
    await notifier.mailbox.stop()
    await notifier.publish(invite(notifier))

    async def degraded() -> bool:
        told = await notifier.ready()
        return told is not None and told["mail"] == {"state": "degraded", "waiting": 1}

    await until(degraded)
    await notifier.mailbox.start()
    await mails(notifier, 1)


async def test_kafka_may_stop_and_start_in_between(notifier: Notifier):
    await notifier.publish(invite(notifier))
    await mails(notifier, 1)
    await asyncio.to_thread(notifier.kafka.kill)
    try:

        async def unready() -> bool:
            return await notifier.ready() is None

        await until(unready)
        status, _, _ = await notifier.get("/live")
        assert status == 200
    finally:
        await asyncio.to_thread(notifier.kafka.start)
    await notifier.publish(invite(notifier))
    await mails(notifier, 2)
    await until(notifier.ready, 40)
    reads = await notifier.read("muster.notifications", lambda found: len(found) >= 4)
    assert [r.headers["ce_type"] for r in reads].count("muster.message.sent") == 2


async def test_a_killed_process_goes_on_where_it_was(notifier: Notifier):
    events = [invite(notifier) for _ in range(40)]
    await notifier.publish(*events)
    await mails(notifier, 1)
    await notifier.stop(signal.SIGKILL)
    await notifier.start()
    # What was under way when it died is sent again when its lease is over, with the same id.
    await until(lambda: notifier.pool.fetchval("SELECT count(*) = 40 FROM messages"), 40)
    await notifier.pool.execute("UPDATE messages SET due_at = now() WHERE state = 'sending'")
    await until(lambda: notifier.pool.fetchval("SELECT count(*) = 40 FROM messages WHERE state = 'sent'"), 40)
    assert len({mail["Message-ID"] for mail in notifier.mailbox.mails}) == 40
    assert len(notifier.mailbox.mails) <= 41 + 20


async def test_it_stops_at_once_and_cleanly(notifier: Notifier):
    await notifier.publish(invite(notifier))
    await mails(notifier, 1)
    assert await notifier.stop() == 0


async def test_another_master_key_keeps_it_from_working_and_it_says_so(notifier: Notifier):
    await notifier.stop()
    notifier.settings = {"MUSTER_KEYS__MASTER": "m1:" + "B" * 43 + "="}
    await notifier.start()

    async def problem() -> str | None:
        try:
            status, told, _ = await notifier.get("/ready")
        except OSError:
            return None
        return told["problem"] if status == 503 else None

    assert "master key 'm1'" in await until(problem)


async def test_logs_hold_no_personal_data_and_no_token(notifier: Notifier):
    user = notifier.identity.add_user()
    await notifier.publish(invite(notifier), mfa_reset(user))
    await mails(notifier, 2)
    notifier.mailbox.answers = ["550 ben@acme.example is not here"]
    await notifier.publish(mfa_reset(user, 2))
    await until(lambda: notifier.pool.fetchval("SELECT count(*) FROM messages WHERE state = 'abandoned'"))
    await notifier.stop()
    log = notifier.log.read_text("utf-8")
    assert '"state": "sent"' in log
    for secret in ("@acme.example", "Ben Miller", "mui_", "203.0.113.7", "Ada Owner"):
        assert secret not in log
