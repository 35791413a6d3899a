"""Runs the decisions that the HTTP routes run, at times of the past, in the name of people of the cast.

A decision is given a caller as HTTP would make one, with another clock; reads, rules and commit are the real ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from muster_contracts.events import Actor
from muster_contracts.users import InvitationVoided

from services.identity import permissions as rights
from services.identity.access import Principal, Session, access_guard
from services.identity.attempts import Attempt, anonymous
from services.identity.credentials.proofs import SignInRefused
from services.identity.demo.people import Person
from services.identity.organizations.settings import OrganizationSettings
from services.identity.routes import Call, Decision, Reason, Services
from services.identity.run import Done, Draft, Origin
from services.identity.sessions import account as accounts
from services.identity.sessions import start
from services.identity.sessions.account import Account
from services.identity.sessions.decider import FACTOR, PASSWORD, WITH_CODE, WITH_PASSWORD
from services.identity.sessions.start import Ticket
from services.identity.users import drafts, read
from services.identity.users.ending import end_sessions
from services.identity.users.situation import Situation
from services.identity.users.state import ACTIVE
from services.kit.errors import MusterError
from services.kit.http import Body, RequestContext
from services.kit.ids import new_id
from services.kit.postgres import Database

Own = Callable[[Database, Situation], Awaitable[Draft]]
BEFORE_ACTING = timedelta(minutes=2)
SYSTEM = Actor(type="system")


@dataclass(slots=True)
class Player:
    """One of the cast in the organization; `session` is the one that they act in, `enrolled`: with a factor."""

    person: Person
    ip: str
    user_agent: str
    id: str = ""
    session: str = ""
    enrolled: bool = False


class Stage:
    """The organization while its history is made; `now` is the time of the last act."""

    def __init__(self, services: Services, org: str, now: datetime) -> None:
        self.services = services
        self.org = org
        self.now = now
        self.on_sign_in: Callable[[Player, str, datetime], None] | None = None

    async def act(
        self, by: Player, at: datetime, decide: Decision, body: Body | None = None, **path: str
    ) -> Done:
        """Do what an administrators' route does; who is not signed in signs in first.

        Raises:
            MusterError: a rule forbids it.
        """
        await self._arrive(by, at)
        asked: Any = body or Reason()
        context = RequestContext(_request(at), by.ip, by.user_agent, None, None)

        async def draft(connection: Database) -> tuple[Origin, Draft]:
            principal = await self._principal(connection, by, at)
            call = Call(self.services, principal, context, path, asked)
            origin = self._origin(by, at, getattr(asked, "reason", None))
            return replace(origin, reads=principal.reads), await decide(connection, call)

        return await self._run(at, draft)

    async def refuse(
        self, by: Player, at: datetime, act: str, decide: Decision, body: Body | None = None, **path: str
    ) -> None:
        """The same for what a rule forbids, which is recorded like every refused attempt."""
        try:
            await self.act(by, at, decide, body, **path)
        except MusterError as error:
            origin = self._origin(by, at, getattr(body, "reason", None))
            await self.services.attempts.record(origin, Attempt(act, next(iter(path.values()), None)), error)

    async def fail_to_sign_in(self, player: Player, at: datetime, ip: str) -> None:
        """Somebody does not know the password."""
        origin = Origin(self.org, anonymous(), at, _request(at), ip, player.user_agent, recorded_at=at)
        await self.services.attempts.record(origin, Attempt("session.start", player.id), SignInRefused())

    async def sign_in(self, player: Player, at: datetime) -> None:
        """Begin a session, with the factor where there is one."""
        ticket = Ticket()
        amr, proof = (WITH_CODE, FACTOR) if player.enrolled else (WITH_PASSWORD, PASSWORD)

        async def draft(connection: Database) -> tuple[Origin, Draft]:
            account = await self.account(connection, player, at)
            origin = replace(self._origin(player, at), session_id=ticket.id)
            return origin, start.full(account, ticket, player.ip, amr, proven_by=proof)

        await self._run(at, draft)
        player.session = ticket.id
        if self.on_sign_in:
            self.on_sign_in(player, ticket.id, at)

    async def is_active(self, player: Player) -> bool:
        status = await self.services.pool.fetchval("SELECT status FROM users WHERE id = $1", player.id)
        return status == ACTIVE

    async def expire(self, player: Player, session: str, at: datetime) -> None:
        """Nobody used the session for too long; one that has ended already stays so."""

        async def draft(connection: Database) -> tuple[Origin, Draft]:
            account = await self.account(connection, player, at)
            idle = [live for live in account.sessions if live.id == session]
            events = end_sessions(player.id, idle, "idle", None)
            heads = {head: account.heads[head] for head in (access_guard(player.id), *(s.id for s in idle))}
            guards = frozenset({access_guard(player.id)} if idle else ())
            return self._by_itself(at), Draft(events=events, reads=heads, touches=guards)

        await self._run(at, draft)
        if player.session == session:
            player.session = ""

    async def own(self, player: Player, at: datetime, decide: Own) -> Done:
        """Something that a person does to their own account."""

        async def draft(connection: Database) -> tuple[Origin, Draft]:
            situation = await read.situation(connection, self.org, player.id)
            return self._origin(player, at), await decide(connection, situation)

        return await self._run(at, draft)

    async def let_expire(self, player: Player, at: datetime) -> None:
        """Nobody followed the invitation in time."""

        async def draft(connection: Database) -> tuple[Origin, Draft]:
            situation = await read.situation(connection, self.org, player.id)
            link = situation.invitation
            events = [InvitationVoided(user=player.id, link=link.id, cause="expired")] if link else []
            return self._by_itself(at), drafts.draft(situation, events, at)

        await self._run(at, draft)

    async def account(self, connection: Database, player: Player, at: datetime) -> Account:
        """The person as sign-in sees them, at that time."""
        account = await accounts.read(connection, player.id)
        if account is None:
            raise LookupError(f"{player.person.email} is not there")
        return replace(account, now=at)

    async def _arrive(self, by: Player, at: datetime) -> None:
        if not by.session:
            await self.sign_in(by, max(at - BEFORE_ACTING, self.now))

    async def _run(self, at: datetime, decide: Any) -> Done:
        self.now = max(self.now, at)
        return await self.services.runner.run(decide)

    def _origin(self, by: Player, at: datetime, reason: str | None = None) -> Origin:
        return Origin(
            self.org, Actor(type="user", id=by.id, name=by.person.name), at, _request(at), by.ip, by.user_agent,
            session_id=by.session or None, reason=reason, recorded_at=at,
        )  # fmt: skip

    def _by_itself(self, at: datetime) -> Origin:
        return Origin(self.org, SYSTEM, at, _request(at), recorded_at=at)

    async def _principal(self, connection: Database, by: Player, at: datetime) -> Principal:
        """The caller as `access.authenticate` would find them, freshly confirmed."""
        row = await connection.fetchrow(
            "SELECT to_jsonb(o) AS organization, u.role, r.name AS role_name, r.builtin, h.version "
            "FROM users u JOIN organizations o ON o.id = u.org JOIN roles r ON r.id = u.role "
            "JOIN heads h ON h.id = $2 WHERE u.id = $1",
            by.id, access_guard(by.id),
        )  # fmt: skip
        if row is None:
            raise LookupError(f"{by.person.email} is not there")
        day = timedelta(days=1)
        session = Session(by.session, 1, at, at + day, at + BEFORE_ACTING, WITH_PASSWORD, at)
        return Principal(
            type="user", id=by.id, name=by.person.name, user=by.id, role=row["role"],
            role_name=row["role_name"], builtin=row["builtin"], permissions=rights.of_role(row["builtin"], ()),
            organization=OrganizationSettings.of_row(row["organization"]), session=session, key=None,
            reads={access_guard(by.id): row["version"]}, now=at,
        )  # fmt: skip


def _request(at: datetime) -> str:
    return new_id("req", int(at.timestamp() * 1000))
