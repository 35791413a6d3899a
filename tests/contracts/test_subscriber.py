from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from muster_contracts.directory import (
    DirectoryMfa,
    DirectoryUser,
    directory_record,
    read_directory,
    tombstone,
)
from muster_contracts.envelope import Envelope, Record
from muster_contracts.errors import Undecodable
from muster_contracts.events import Ref
from muster_contracts.subscriber import Deduplicator, GapCheck, Replica, Verdict, decode
from muster_contracts.topics import DIRECTORY

from tests.contracts import golden

EVENT = decode(golden.record("user.renamed.1"))
MIA = DirectoryUser(
    id="usr_mia", email="mia@acme.example", name="Mia", username=None, phone=None, timezone=None,
    role=Ref(id="rol_1", name="Member"), status="active", mfa=DirectoryMfa(status="not_enabled", factors=()),
    labels=("contractor",), created_at=datetime(2026, 11, 24, tzinfo=UTC), password_changed_at=None,
    version=3, organization="org_1", epoch=1,
)  # fmt: skip


def event(sequence: int, epoch: int = 1, subject: str = "usr_1") -> Envelope:
    return replace(
        EVENT, sequence=sequence, epoch=epoch, subject=subject, id=f"evt_{subject}_{epoch}_{sequence}"
    )


def at(version: int, epoch: int = 1) -> Record:
    return directory_record(
        MIA.model_copy(update={"version": version, "epoch": epoch, "name": f"Mia {version}"})
    )


@dataclass
class AiokafkaRecord:
    topic: str
    key: bytes | None
    value: bytes | None
    headers: Any


def test_a_record_of_aiokafka_is_decoded():
    assert decode(AiokafkaRecord(*golden.record("user.renamed.1"))) == EVENT


def test_an_event_comes_for_the_first_time_once():
    seen = Deduplicator()
    assert seen.first(event(1))
    assert not seen.first(event(1))
    assert seen.first(event(2))


def test_only_so_many_ids_are_remembered():
    seen = Deduplicator(capacity=2)
    assert all(seen.first(event(number)) for number in (1, 2, 3))
    assert not seen.first(event(3))
    assert seen.first(event(1))


def test_the_next_is_applied_what_was_seen_is_dropped_and_a_gap_is_told():
    check = GapCheck()
    assert check.check(event(5)) is Verdict.APPLY
    assert check.check(event(6)) is Verdict.APPLY
    assert check.check(event(6)) is Verdict.SEEN
    assert check.check(event(9)) is Verdict.GAP
    assert list(check.missing(event(9))) == [7, 8]


def test_a_gap_closes_when_what_was_missing_is_checked():
    check = GapCheck()
    check.check(event(1))
    assert check.check(event(3)) is Verdict.GAP
    assert [check.check(event(number)) for number in (2, 3)] == [Verdict.APPLY, Verdict.APPLY]


def test_streams_know_nothing_of_each_other():
    check = GapCheck()
    check.check(event(1))
    assert check.check(event(7, subject="usr_2")) is Verdict.APPLY
    assert list(check.missing(event(9, subject="usr_3"))) == []


def test_a_restored_log_begins_anew():
    check = GapCheck()
    check.check(event(8, epoch=1))
    assert check.check(event(6, epoch=2)) is Verdict.APPLY
    assert check.check(event(9, epoch=1)) is Verdict.SEEN


def test_the_stream_that_was_silent_for_longest_is_forgotten_first():
    check = GapCheck(capacity=2)
    for subject in ("a", "b", "a", "c"):
        check.check(event(2 if subject == "a" else 1, subject=subject))
    assert check.check(event(2, subject="a")) is Verdict.SEEN
    assert check.check(event(1, subject="b")) is Verdict.APPLY


def test_the_directory_is_written_as_it_is_read():
    record = directory_record(MIA)
    assert record.topic == DIRECTORY.name
    assert [name for name, _ in record.headers] == ["content-type", "ce_org"]
    assert read_directory(record.key, record.value) == ("usr_mia", MIA)


def test_a_copy_of_the_directory_ignores_what_is_older():
    replica = Replica()
    for record in (at(3), at(5), at(4), at(2, epoch=2), at(9)):
        replica.feed(record)
    user = replica.get("usr_mia")
    assert user
    assert (user.epoch, user.version) == (2, 2)


def test_whatever_follows_a_tombstone_is_ignored():
    replica = Replica()
    for record in (at(3), tombstone("usr_mia", "org_1"), at(4)):
        replica.feed(record)
    assert replica.get("usr_mia") is None
    assert len(replica) == 0
    assert list(replica) == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (None, None),
        (b"\xff", None),
        (b"org_1", None),
        (b"usr_mia", b"{"),
        (b"usr_mia", b"{}"),
        (b"usr_else", directory_record(MIA).value),
    ],
)
def test_what_is_no_record_of_the_directory_is_undecodable(key: bytes | None, value: bytes | None):
    with pytest.raises(Undecodable):
        read_directory(key, value)
