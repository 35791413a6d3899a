"""Start reading here: what the notifier does about which event.

An event of `muster.users` leads to mails by the table below, and to a session kill wherever its data names
one (`kill`): what ends sessions is known by that field alone, so an act that comes later is not forgotten here.
A new mail is a row of the table and a template in `mails/`. All of this is pure: it decides, others do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from muster_contracts.envelope import Envelope

Data = Mapping[str, Any]

NEWS = timedelta(days=7)
"""As long as Kafka keeps it: what happened before is history that is read again, and nobody is told anew."""

_ACTORS = {"service": "An API key", "system": "Muster", "operator": "An operator"}


def _nothing(_: Data) -> dict[str, Any]:
    return {}


def _always(_: Data) -> bool:
    return True


def _by_somebody_else(data: Data) -> bool:
    return data["actor"].get("id") != data["user"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A mail of the table."""

    kind: str
    """Name of the template in `mails/`, and of the message on `muster.notifications`."""
    when: Callable[[Data], bool] = _always
    address: Callable[[Data], str | None] | None = None
    """Where it must go; None: to the person's address at the time of sending."""
    statuses: tuple[str, ...] = ("active",)
    """Statuses, at the time of sending, of a person who may have it."""
    facts: Callable[[Data], dict[str, Any]] = _nothing
    """What the words need besides, about nobody."""


_RESET_BY_ADMIN = Rule(
    kind="reset_by_admin",
    when=lambda data: data["by_admin"] and _by_somebody_else(data),
    facts=lambda data: {"revoked": data["revoked"]},
)
_RESET_BY_SELF = Rule(
    kind="reset_by_self",
    when=lambda data: not _RESET_BY_ADMIN.when(data),
    facts=lambda data: {"revoked": data["revoked"]},
)
MAILS: Mapping[str, tuple[Rule, ...]] = {
    "invitation.sent": (Rule(kind="invitation", statuses=("invited",)),),
    "password.reset_requested": (_RESET_BY_ADMIN, _RESET_BY_SELF),
    "password.reset_completed": (Rule(kind="password_changed", facts=lambda _: {"by_link": True}),),
    # The first password, chosen while accepting the invitation, ends nothing: it names no kill, and is no news
    "password.changed": (Rule(kind="password_changed", when=lambda data: data["kill"] is not None),),
    "mfa.reset": (Rule(kind="mfa_reset"),),
    "user.email_changed": (
        Rule(kind="email_changed", address=lambda data: data["email"]["new"], statuses=("active", "invited")),
        Rule(
            kind="email_changed_away",
            address=lambda data: data["email"]["old"],
            statuses=("active", "invited"),
        ),
    ),
}
STATUSES: Mapping[str, tuple[str, ...]] = {
    rule.kind: rule.statuses for rules in MAILS.values() for rule in rules
}
ERASES = frozenset({"user.deleted"})
"""After these the key of the person is destroyed."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The event that something is done about; what follows names it."""

    event_id: str
    type: str
    org: str
    user: str
    action: str | None
    correlation_id: str | None
    traceparent: str | None
    at: datetime

    @classmethod
    def of(cls, envelope: Envelope) -> Cause:
        return cls(
            envelope.id, envelope.type, envelope.org, envelope.data["user"], envelope.action,
            envelope.correlation_id, envelope.traceparent, envelope.time,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A message to be queued."""

    kind: str
    cause: Cause
    expires_at: datetime
    link: str | None = None
    facts: dict[str, Any]
    personal: dict[str, str] = field(repr=False)
    """`to`: an address that it must go to; `known`: one that the event names; `actor`, `ip`, `new_email`."""


@dataclass(frozen=True, slots=True)
class Reaction:
    cause: Cause
    drafts: tuple[Draft, ...]
    kill: str | None
    erases: bool


def concerns(envelope: Envelope) -> bool:
    """Whether anything may be to be done about an event: `react` says what."""
    return envelope.type in MAILS or envelope.type in ERASES or bool(envelope.data.get("kill"))


def react(envelope: Envelope, now: datetime) -> Reaction | None:
    """What is to be done about an event; None for most.

    Args:
        envelope: of `muster.users`, read from Kafka or identity's log.
        now: by the database's clock.

    Raises:
        LookupError, TypeError: the data is not what the contract says.
    """
    data = envelope.data
    kill, erases = data.get("kill"), envelope.type in ERASES
    rules = MAILS.get(envelope.type, ()) if envelope.time > now - NEWS else ()
    drafts = tuple(_draft(r, envelope) for r in rules if r.when(data) and _can_be_told(r, envelope))
    if not (drafts or kill or erases):
        return None
    return Reaction(Cause.of(envelope), drafts, kill, erases)


def _can_be_told(rule: Rule, envelope: Envelope) -> bool:
    return not envelope.erased and (rule.address is None or rule.address(envelope.data) is not None)


def _draft(rule: Rule, envelope: Envelope) -> Draft:
    data = envelope.data
    has_open_link = "link" in data and "expires_at" in data
    changed = envelope.type == "user.email_changed"
    personal: dict[str, str | None] = {
        "to": rule.address(data) if rule.address else None,
        "known": None if changed else data.get("email"),
        "new_email": data["email"]["new"] if changed else None,
        **_who(data),
    }
    return Draft(
        kind=rule.kind,
        cause=Cause.of(envelope),
        expires_at=datetime.fromisoformat(data["expires_at"]) if has_open_link else envelope.time + NEWS,
        link=data["link"] if has_open_link else None,
        facts=rule.facts(data),
        personal={name: value for name, value in personal.items() if value is not None},
    )


def _who(data: Data) -> dict[str, str | None]:
    """Somebody else's name, or the person's own address; an administrator's address is nobody's business."""
    actor = data["actor"]
    if actor["type"] == "anonymous" or not _by_somebody_else(data):
        return {"ip": data.get("ip")}
    # An operator's name is a login of the machine, which says nothing to whoever gets the mail.
    name = None if actor["type"] == "operator" else actor.get("name")
    return {"actor": name or _ACTORS.get(actor["type"])}
