"""Evidence that nobody gathered: a small log and what follows from it, made to hold one thing that is wrong.

made = MadeUp()
made.did("usr_owner", {"user.renamed": {"user": "usr_member", "name": {"old": "M", "new": "N"}}})
made.evidence()
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from muster_contracts.envelope import Envelope

from services.identity.permissions import BUILTIN
from tests.faults.evidence import Evidence
from tests.faults.history import Attempt, Command, History

START = datetime(2026, 11, 24, tzinfo=UTC)
ORG = "org_1"
PEOPLE = {"usr_owner": "owner", "usr_admin": "admin", "usr_member": "member"}
_STREAMS = {"session": "session", "ip_rule": "session", "api_key": "key", "role": "role",
            "organization": "organization"}  # fmt: skip


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@dataclass
class MadeUp:
    """An organization with an Owner, an Admin and a Member, all active; what they do follows.

    Event number n happens n seconds after `START`, unless `clock` says more.
    """

    log: list[Envelope] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    history: History = field(default_factory=lambda: History(0))
    more: dict[str, Any] = field(default_factory=dict)
    clock: float = 0.0

    def __post_init__(self) -> None:
        roles = {
            name: {"role": f"rol_{name}", "name": name, "description": "", "permissions": sorted(held)}
            for name, held in BUILTIN.items()
        }
        for role in roles.values():
            self.did(None, {"role.created": role})
        for user, role in PEOPLE.items():
            fields = dict.fromkeys(("username", "phone", "timezone"))
            created = {"user": user, "email": f"{user}@x.example", "name": user, "labels": [], **fields}
            self.did(None, {"user.created": created | {"role": {"id": f"rol_{role}"}, "status": "invited"}})
            accepted = {"user": user, "link": "lnk_0", "status": {"old": "invited", "new": "active"}}
            self.did(
                user, {"invitation.accepted": accepted, "password.changed": {"user": user, "kill": None}}
            )

    def did(self, actor: str | None, events: dict[str, dict[str, Any]], **more: Any) -> list[Envelope]:
        """One commit; `more` goes into the stamp of each of its events."""
        action, made = f"act_{len(self.log)}", list[Envelope]()
        self.clock += 1
        for type_, data in events.items():
            stream = data[_STREAMS.get(type_.partition(".")[0], "user")]
            self.versions[stream] += 1
            position = len(self.log) + 1
            who = {"type": "user" if actor else "operator", "id": actor, "name": None}
            made_so = Envelope(
                id=f"evt_{position}", source="/muster/identity", type=type_, version=1, subject=stream,
                partition_key=data.get("user", ORG), sequence=self.versions[stream], time=at(self.clock),
                recorded_time=at(self.clock), correlation_id=f"req_{action}", org=ORG, action=action,
                auth_type="app_user" if actor else "user", auth_id=actor, position=position, epoch=0,
                data=data | {"actor": who} | more,
            )  # fmt: skip
            made.append(made_so)
            self.log.append(made_so)
        return made

    def asked(
        self, unit: list[Envelope], method: str, path: str, json: Any, body: dict[str, Any] | None = None
    ) -> Attempt:
        """Note that this commit was asked for so, and answered with 200."""
        first = unit[0]
        told = [{"id": event.id, "type": event.type, "version": event.sequence} for event in unit]
        attempt = Attempt(first.correlation_id or "", "identity-1", self.clock, self.clock, 200)
        attempt.body = {"events": told, "user": None} | (body or {})
        command = Command(first.org, first.auth_id or "", "act", None, None, method, path, json, [attempt])
        self.history.commands.append(command)
        return attempt

    def evidence(self) -> Evidence:
        """The log with nothing beside it but `more`."""
        made: dict[str, Any] = {name: {} for name in ("heads", "claims", "users", "sessions", "kafka")} | {
            name: [] for name in ("audit", "parked", "messages", "told", "kills", "deliveries")
        }
        made |= {"log": self.log, "head": len(self.log), "with_password": set()}
        made |= {"roles": {f"rol_{name}": name for name in BUILTIN}} | self.more
        return Evidence(**made)
