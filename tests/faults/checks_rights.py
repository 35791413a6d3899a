"""Who did what: at each commit of the log, whoever did it still had the right to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from muster_contracts.envelope import Envelope

from tests.faults.evidence import Evidence, Findings
from tests.faults.fold import after_each_unit
from tests.faults.history import History

OWN = frozenset(
    {"session.started", "session.ended", "ip_rule.granted", "ip_rule.revoked", "password.changed",
     "password.reset_completed", "mfa.enrolled", "mfa.factor_removed", "recovery_codes.generated",
     "recovery_codes.used", "user.renamed", "user.phone_changed", "user.timezone_changed"}
)  # fmt: skip
"""What somebody active may do to themself who has no right at all: sign in and out, their proofs, `PATCH /v1/me`."""
ACCEPTING = frozenset({"invitation.accepted", "password.changed", "user.renamed"})
"""What somebody who is invited may do to themself."""
NOT_FOR_KEYS = frozenset({"roles.manage", "users.assign_role", "api_keys.manage", "organization.manage"})


def an_owner_can_always_sign_in(_: History, evidence: Evidence) -> Findings:
    had: set[str] = set()
    for unit, state in after_each_unit(evidence.log):
        org = unit[0].org
        if state.owners(org, evidence.roles):
            had.add(org)
        elif org in had:
            yield f"{org} has none from {unit[-1].position} on, after {unit[0].type}"
            return


@dataclass(frozen=True)
class Doer:
    """Who did a unit, as they were just before it."""

    user: str
    status: str = ""
    builtin: str = ""
    held: frozenset[str] = frozenset()

    def may(self, unit: Sequence[Envelope]) -> bool:
        if self.status == "active" and self.builtin in ("owner", "admin"):
            return True
        own = {"active": OWN, "invited": ACCEPTING}.get(self.status, frozenset[str]())
        return all(event.type in own and event.data.get("user") == self.user for event in unit)


def _deeds(evidence: Evidence) -> Iterator[tuple[list[Envelope], Doer]]:
    """Every unit that a person wanted, refused attempts apart."""
    before: dict[str, tuple[str, str]] = {}
    for unit, state in after_each_unit(evidence.log):
        first = unit[0]
        if first.auth_type == "app_user" and first.type != "attempt.refused":
            user = first.auth_id or ""
            role, status = before.get(user, ("", ""))
            held = state.held.get(role, frozenset())  # no command changes a role and does something by it
            yield unit, Doer(user, status, evidence.roles.get(role) or "", held)
        for user in {event.subject for event in unit} & state.users.keys():
            before[user] = (state.users[user].role, state.users[user].status)
        for user in {event.subject for event in unit} & state.deleted:
            before[user] = ("", "deleted")


def nobody_acts_after_the_right_is_gone(_: History, evidence: Evidence) -> Findings:
    """At each commit its actor was active, held a role that lets them do it, and the session lived."""
    ended = {event.subject: event.position or 0 for event in evidence.log if event.type == "session.ended"}
    for unit, doer in _deeds(evidence):
        first = unit[0]
        if not doer.may(unit):
            types = ", ".join(sorted({event.type for event in unit}))
            yield f"{types} at {first.position} by someone {doer.status} as {doer.builtin}"
        if ended.get(first.data.get("session_id") or "", first.position or 0) < (first.position or 0):
            yield f"{first.type} at {first.position} in a session that had ended"


def keys_hold_no_more_than_their_makers(_: History, evidence: Evidence) -> Findings:
    """Who makes a key may make keys, and gives it nothing that they do not hold or that no key may hold."""
    for unit, doer in _deeds(evidence):
        for event in unit:
            if event.type != "api_key.created":
                continue
            if "api_keys.manage" not in doer.held:
                yield f"{event.subject} at {event.position} by someone who may not make keys"
            elif more := set(event.data["permissions"]) - (doer.held - NOT_FOR_KEYS):
                yield f"{event.subject} at {event.position} holds {sorted(more)}, which its maker may not give"
            if event.data["user"] != doer.user:
                yield f"{event.subject} at {event.position} is in another's name than its maker's"
