"""What the notifier did about the log: the mails of each cause, once and to the right address; session kills."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from muster_contracts.envelope import Envelope

from tests.faults.evidence import Evidence, Findings, Row
from tests.faults.history import History
from tests.faults.mail_server import Delivery, Outage

MOST_LOST = 2
"""So often at most may a mail come again because somebody was away."""
CLOSES = frozenset(
    {"invitation.accepted", "invitation.voided", "password.changed", "password.reset_completed",
     "password.reset_requested", "user.deactivated", "user.deleted"}
)  # fmt: skip
"""What closes a link that was open before."""
MEANT_FOR = {
    "invitation": {"invited"},
    "email_changed": {"active", "invited"},
    "email_changed_away": {"active", "invited"},
}
"""Statuses of people who get a mail of this kind; the others are for who is active."""
Moment = tuple[int, datetime, str | None]
"""Position and time from which on something of a person is so."""


@dataclass
class Life:
    """What a person's status and address were, from when on."""

    statuses: list[Moment] = field(default_factory=list)
    addresses: list[Moment] = field(default_factory=list)

    def apply(self, event: Envelope) -> None:
        data: Any = event.data
        where = event.position or 0, event.recorded_time or event.time
        match event.type:
            case "user.created":
                self.statuses.append((*where, data["status"]))
                self.addresses.append((*where, data["email"]))
            case "user.email_changed":
                self.addresses.append((*where, (data["email"] or {}).get("new")))
            case "invitation.accepted" | "user.deactivated" | "user.reactivated":
                self.statuses.append((*where, data["status"]["new"]))
            case "user.deleted":
                self.statuses.append((*where, "deleted"))
            case _:
                pass


def _between(moments: Sequence[Moment], position: int, until: datetime) -> set[str | None]:
    """What was so at that position of the log, or came after it and not later than that time."""
    first = max(0, bisect_right(moments, position, key=lambda moment: moment[0]) - 1)
    return {value for _, time, value in moments[first:] if time <= until}


@dataclass
class Story:
    """All that is known of one message."""

    cause: Envelope
    kind: str
    to: str | None
    """Where it must go; None: to where the person is written to by then."""
    row: Row
    tries: list[Delivery]
    life: Life
    events: Sequence[Envelope]
    """Of that person."""

    def findings(self, outages: Sequence[Outage]) -> Findings:
        name = f"{self.kind} for {self.cause.type} at {self.cause.position}"
        if self.row["state"] == "sent" and not self.tries:
            yield f"{name} is said to be sent, and never came"
        if self.row["state"] == "abandoned" and not self.may_be_abandoned():
            yield f"{name} was given up for {self.row['error']}, which nothing before explains"
        yield from (f"{name} {what}" for what in self._repeats(outages))
        for delivery in self.tries:
            wanted = self._addresses(delivery.at)
            if None not in wanted and delivery.to not in wanted:
                yield f"{name} went to {delivery.to} instead of {wanted}"

    def _addresses(self, at: datetime) -> set[str | None]:
        if self.to is not None:
            return {self.to}
        return _between(self.life.addresses, self.cause.position or 0, at)

    def _repeats(self, outages: Sequence[Outage]) -> Iterator[str]:
        """A mail may come again where the mail server did not tell that it had it, or nobody could note it."""
        lost = 0
        for first, again in pairwise(self.tries):
            if not first.told:
                continue
            lost += 1
            if not any(outage.lies_between(first.at, again.at) for outage in outages):
                yield f"came again after {(again.at - first.at).total_seconds():.1f} s though nobody was away"
        if lost > MOST_LOST:
            yield f"came {lost} times more than it was wanted"

    def may_be_abandoned(self) -> bool:
        """Whether an event explains it that had happened by the time."""
        position, finished, error = self.cause.position or 0, self.row["finished_at"], self.row["error"] or ""
        statuses = _between(self.life.statuses, position, finished)
        if error == "person_gone":
            return "deleted" in statuses
        if error.startswith("person_"):
            status = error.removeprefix("person_")
            return status in statuses and status not in MEANT_FOR.get(self.kind, {"active"})
        return error == "link_closed" and any(
            self._closes(event)
            for event in self.events
            if (event.position or 0) > position and (event.recorded_time or event.time) <= finished
        )

    def _closes(self, event: Envelope) -> bool:
        """A reset that is asked for once more hands out the link that is open."""
        is_same = event.data.get("link") == self.cause.data.get("link")
        return event.type in CLOSES and not (event.type == "password.reset_requested" and is_same)


def mails_for(event: Envelope) -> list[tuple[str, str | None]]:
    """The mails that an event has to lead to: kind, and the address where the event itself names it."""
    data: Any = event.data
    match event.type:
        case "invitation.sent":
            return [("invitation", None)]
        case "mfa.reset":
            return [("mfa_reset", None)]
        case "password.reset_requested":
            by_other = data["by_admin"] and data["actor"]["id"] != data["user"]
            return [("reset_by_admin" if by_other else "reset_by_self", None)]
        case "password.reset_completed":
            return [("password_changed", None)]
        case "password.changed" if data["kill"]:
            return [("password_changed", None)]
        case "user.email_changed":
            old, new = ((data["email"] or {}).get(name) for name in ("old", "new"))
            return [("email_changed", new), ("email_changed_away", old)]
        case _:
            return []


def one_mail_goes_out_for_each_cause(_: History, evidence: Evidence) -> Findings:
    queued: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in evidence.messages:
        queued[row["event_id"], row["kind"]].append(row)
    sent: defaultdict[str, list[Delivery]] = defaultdict(list)
    for delivery in sorted(evidence.deliveries, key=lambda delivery: delivery.at):
        sent[delivery.message_id.rpartition("@")[0]].append(delivery)
    lives, events = _lives(evidence)
    for cause in evidence.log:
        for kind, to in mails_for(cause):
            rows, user = queued.pop((cause.id, kind), []), cause.data["user"]
            tries = sent.pop(f"{cause.id}.{kind}", [])
            if len(rows) != 1 and not (cause.erased and not rows):
                yield f"{cause.type} at {cause.position} has {len(rows)} mails of the kind {kind}"
            for row in rows[:1]:
                yield from Story(cause, kind, to, row, tries, lives[user], events[user]).findings(
                    evidence.outages
                )
    if queued:
        yield f"{len(queued)} mails are for nothing that happened: {sorted(queued)[:3]}"
    if sent:
        yield f"{len(sent)} mails were sent that nobody had queued: {sorted(sent)[:3]}"


def _lives(evidence: Evidence) -> tuple[defaultdict[str, Life], defaultdict[str, list[Envelope]]]:
    lives, events = defaultdict[str, Life](Life), defaultdict[str, list[Envelope]](list)
    for event in evidence.log:
        if event.subject.startswith("usr_"):
            lives[event.subject].apply(event)
            events[event.subject].append(event)
    return lives, events


def kills_are_ordered_once(_: History, evidence: Evidence) -> Findings:
    wanted = {event.data["kill"] for event in evidence.log if event.data.get("kill")}
    ordered = Counter(row["stream"] for row in evidence.told if row["type"] == "session_kill.ordered")
    if missing := wanted - ordered.keys():
        yield f"{len(missing)} of {len(wanted)} are not ordered"
    if more := {kill: n for kill, n in ordered.items() if n > 1 or kill not in wanted}:
        yield f"{more}"
