"""Identity's log filled by hand: rows of `events`, `users` and `person_keys`, without decider or store."""

from __future__ import annotations

import base64
import os
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from muster_contracts.events import Actor, Change, Event, Ref, Stamp
from muster_contracts.personal import split
from muster_contracts.users import UserCreated, UserDeleted, UserRenamed

from services.identity.log import seal
from services.kit.ids import new_id
from services.kit.persons import PersonKeys
from services.kit.postgres import Connection
from services.kit.sealing import MasterKeys, Sealer

INSERT = f"INSERT INTO events VALUES ({', '.join(f'${n}' for n in range(1, 24))})"


def new_master(name: str = "m1") -> str:
    """A setting MUSTER_KEYS__MASTER with one fresh key."""
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


@dataclass
class LogWriter:
    """Appends to one log; the only writer of it."""

    connection: Connection
    master: str = field(default_factory=new_master)
    org: str = field(default_factory=lambda: new_id("org"))

    def __post_init__(self) -> None:
        self.role = Ref(id=new_id("rol"), name="Member")
        self.admin = new_id("usr")
        self.keys = PersonKeys(MasterKeys.parse(self.master))
        self._sealers: dict[str, Sealer] = {}
        self._versions: defaultdict[str, int] = defaultdict(int)

    async def begin(self) -> LogWriter:
        await self.connection.execute(
            "INSERT INTO roles VALUES ($1, $2, 'member', 'Member', '', '{}', now(), 1)",
            self.role.id,
            self.org,
        )
        await self._make_key(self.admin)
        return self

    async def append(self, *events: Event, reason: str | None = None) -> int:
        """Write events of one command of an administrator in one transaction; returns the last position."""
        action, now = new_id("act"), datetime.now(UTC)
        async with self.connection.transaction():
            last = await self.connection.fetchval(
                "UPDATE log_head SET position = position + $1 RETURNING position", len(events)
            )
            first = last - len(events) + 1
            rows = [self._row(first + n, event, action, now, reason) for n, event in enumerate(events)]
            await self.connection.executemany(INSERT, rows)
            await self.connection.execute("SELECT pg_notify('log', '')")
        return last

    async def create_user(self, name: str = "Ada Lovelace") -> str:
        """A user with row, key and `user.created`."""
        user = new_id("usr")
        await self._make_key(user)
        email = f"{user}@acme.example"
        await self.connection.execute(
            "INSERT INTO users (id, org, email, name, labels, role, status, accepted, has_password, factors,"
            " recovery_codes, created_at, search, version)"
            " VALUES ($1, $2, $3, $4, '{blue}', $5, 'active', true, true, '[]', 0, now(), '', 1)",
            user, self.org, email, name, self.role.id,
        )  # fmt: skip
        created = UserCreated(
            user=user, email=email, name=name, username=None, phone=None, timezone=None, labels=("blue",),
            role=self.role, status="active",
        )  # fmt: skip
        await self.append(created)
        return user

    async def rename(self, user: str, name: str) -> int:
        await self.connection.execute(
            "UPDATE users SET name = $2, version = version + 1 WHERE id = $1", user, name
        )
        return await self.append(UserRenamed(user=user, name=Change(old=None, new=name)))

    async def delete(self, user: str) -> int:
        row = await self.connection.fetchrow("DELETE FROM users WHERE id = $1 RETURNING name, email", user)
        assert row is not None
        return await self.append(
            UserDeleted(user=user, kill=new_id("kil"), name=row["name"], email=row["email"])
        )

    async def destroy_key(self, user: str) -> None:
        await self.connection.execute(
            "UPDATE person_keys SET wrapped = NULL, destroyed_at = now() WHERE id = $1", user
        )
        self.keys.forget(user)

    async def _make_key(self, owner: str) -> None:
        key = self.keys.new(owner)
        self._sealers[owner] = key.sealer
        await self.connection.execute(
            "INSERT INTO person_keys (id, master, wrapped, created_at) VALUES ($1, $2, $3, now())",
            owner, key.master, key.wrapped,
        )  # fmt: skip

    def _row(
        self, position: int, event: Event, action: str, now: datetime, reason: str | None
    ) -> tuple[Any, ...]:
        stream, person = event.stream() or new_id("att"), event.person()
        self._versions[stream] += 1
        id_ = new_id("evt")
        actor = Actor(type="user", id=self.admin, name="Grace Hopper")
        stamp = Stamp(actor=actor, ip="203.0.113.7", user_agent="curl/8", reason=reason)
        parts = split(event, stamp, self_act=person == self.admin)
        sealed = seal(id_, parts, self._sealers[person] if person else None, self._sealers[self.admin])
        actor_key = None if person == self.admin else self.admin
        return (
            position, 1, id_, self.org, stream, self._versions[stream], event.type, event.version, action,
            now, now, new_id("req"), None, None, None, "user", self.admin, person, sealed.open, person,
            sealed.target, actor_key, sealed.actor,
        )  # fmt: skip
