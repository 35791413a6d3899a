"""The Kafka topics of Muster: names, keys, partitions and policies.

A key decides the partition, so everything with one key stays in order. Partition counts are fixed for
good, since raising one moves keys to other partitions and breaks that order:
12 where the key is a user and the volume grows with people (a dozen consumers share the work, and the
directory is split exactly like the events it belongs to), 6 where it grows with administration only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

DAY_MS = 24 * 60 * 60 * 1000
WEEK_MS = 7 * DAY_MS

# Kafka deletes whole segments, by their newest record: a segment that spans a week would keep its oldest
# record for two. Daily segments keep personal data at most one day longer than the retention.
_EVENTS = {"cleanup.policy": "delete", "retention.ms": str(WEEK_MS), "segment.ms": str(DAY_MS)}
_STATE = {
    "cleanup.policy": "compact",
    "max.compaction.lag.ms": str(DAY_MS),
    "delete.retention.ms": str(WEEK_MS),
}


def _events() -> Mapping[str, str]:
    return dict(_EVENTS)


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic must look like; `key` says whose id is the record key."""

    name: str
    key: Literal["user", "organization"]
    partitions: int
    holds: str
    configs: Mapping[str, str] = field(default_factory=_events)


USERS = Topic("muster.users", "user", 12, "what happened to users and to their sessions")
ORGANIZATIONS = Topic("muster.organizations", "organization", 6, "organizations, roles and API keys")
DIRECTORY = Topic("muster.directory", "user", 12, "the current state of each user", dict(_STATE))
SESSION_KILLS = Topic("muster.session-kills", "user", 6, "orders to end the sessions of a user")
SESSION_RECEIPTS = Topic("muster.session-receipts", "user", 6, "what services did about such an order")
ATTEMPTS = Topic("muster.attempts", "organization", 6, "what was tried and refused; read by audit only")
NOTIFICATIONS = Topic("muster.notifications", "user", 6, "what became of mails and text messages")

ALL = (USERS, ORGANIZATIONS, DIRECTORY, SESSION_KILLS, SESSION_RECEIPTS, ATTEMPTS, NOTIFICATIONS)
