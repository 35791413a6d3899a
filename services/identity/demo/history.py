"""Ninety days at Acme: who came when, what was done to whom, and who signs in how often."""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from random import Random

from services.identity import permissions as rights
from services.identity.api_keys import api as api_keys
from services.identity.api_keys.api import KeyBody, ServiceBody
from services.identity.credentials import admin
from services.identity.credentials.admin import ResetPasswordBody
from services.identity.demo import proofs
from services.identity.demo.people import PEOPLE, Person
from services.identity.demo.stage import Player, Stage
from services.identity.organizations import api as organizations
from services.identity.organizations.api import SettingsBody
from services.identity.routes import Decision, Reason
from services.identity.users import api as users
from services.identity.users.api import DeleteBody, EditBody, InviteBody
from services.kit.http import Body
from services.kit.ids import new_id

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
IDLE = timedelta(hours=12, seconds=40)
INVITATION = timedelta(days=7, seconds=40)
QUIET_SINCE = 32
FIRST_DAYS = 88
"""Who came longer ago than this was invited by the first Owner; on this day there are Admins who do it."""
BROWSERS = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
)

Act = Callable[[datetime], Awaitable[object]]


@dataclass
class History:
    """What happens, in order of time.

    Args:
        stage: where it happens; the organization is there, and its first Owner invited.
        today: the last midnight, in UTC.
        now: the present, after which nothing happens.
        hashes: hash of the password that each of the printed people chooses, by e-mail address.
        others: hash of a password that nobody knows, for everyone else.
    """

    stage: Stage
    today: datetime
    now: datetime
    hashes: dict[str, str]
    others: str
    owner_id: str
    players: dict[str, Player] = field(default_factory=dict[str, Player])
    api_key: str = ""

    def __post_init__(self) -> None:
        self._plan: list[tuple[datetime, int, Act]] = []
        self._order = count()
        # The same Acme each time: nothing here is a secret.
        self._random = Random(90)  # noqa: S311
        for number, person in enumerate(PEOPLE, 10):
            home = f"203.0.113.{number}" if number % 5 else f"2001:db8:90:{number:x}::7"
            self.players[person.name] = Player(person, home, self._random.choice(BROWSERS))
        self.players[PEOPLE[0].name].id = self.owner_id
        self.stage.on_sign_in = self._expire_later

    async def play(self) -> None:
        """Do everything."""
        for person in PEOPLE:
            self._life(person)
        self._incidents()
        while self._plan:
            at, _, act = heapq.heappop(self._plan)
            if at <= self.now:
                await act(max(at, self.stage.now))

    def _at(self, at: datetime, act: Act) -> None:
        heapq.heappush(self._plan, (at, next(self._order), act))

    def _on(self, days: int, act: Act, *, hour: float = 0) -> None:
        """Some time between 8 and 17 o'clock, or at that hour."""
        moment = hour or 8 + 9 * self._random.random()
        self._at(self.today - days * DAY + moment * HOUR, act)

    # ------------------------------------------------------------------------------------ one person
    def _life(self, person: Person) -> None:
        player = self.players[person.name]
        if not player.id:
            self._on(person.days, lambda at: self._invite(player, at), hour=8 + self._random.random())
        if person.fate in ("invited", "expired"):
            return
        waited = self._random.randint(0, 1) if person.days < FIRST_DAYS else 0
        accepted = person.days - waited
        hash_ = self.hashes.get(person.email, self.others)
        self._on(
            accepted,
            lambda at: self.stage.own(player, at, proofs.accept(at, hash_)),
            hour=9.1 + self._random.random() / 2,
        )
        if person.fate != "never":
            self._visits(player, accepted)

    def _visits(self, player: Player, first: int) -> None:
        """Now and then a session, the first one on the day of accepting; with `*` the factor comes with it."""
        person = player.person
        last = QUIET_SINCE if person.fate == "quiet" else 1
        for day in (first, *(self._random.randint(last, first) for _ in range(2))):
            self._on(day, lambda at: self._visit(player, at), hour=10 + 7 * self._random.random())
        if person.mfa:
            self._on(first, lambda at: self._enroll(player, at), hour=17.5)
        if person.fate == "online":
            ago = self._random.randint(4, 200) * MINUTE
            self._at(self.now - ago, lambda at: self._visit(player, at))

    async def _invite(self, player: Player, at: datetime) -> None:
        person = player.person
        admin_of_the_day = "Priya Raman" if person.days % 2 else "Mei Tanaka"
        by = self._player(admin_of_the_day if person.days < FIRST_DAYS else "Amara Okafor")
        body = InviteBody(
            email=person.email, name=person.name, role=person.role, username=person.username, phone=person.phone,
            timezone=person.timezone, labels=list(person.labels),
        )  # fmt: skip
        done = await self.stage.act(by, at, users.invite, body)
        player.id = (done.draft.body or {})["user"]["id"]
        if person.fate == "expired":
            self._at(at + INVITATION, lambda then: self.stage.let_expire(player, then))

    async def _visit(self, player: Player, at: datetime) -> None:
        if await self.stage.is_active(player):
            await self.stage.sign_in(player, at)

    def _expire_later(self, player: Player, session: str, at: datetime) -> None:
        self._at(at + IDLE, lambda then: self.stage.expire(player, session, then))

    async def _enroll(self, player: Player, at: datetime) -> None:
        services, factor = self.stage.services, new_id("fac")
        await self.stage.own(player, at, proofs.begin_factor(services, at, factor, player.session))
        await self.stage.own(player, at + MINUTE, proofs.activate_factor(services, at + MINUTE, factor))
        player.enrolled = True

    # ------------------------------------------------------------------------------------- incidents
    def _player(self, name: str) -> Player:
        return self.players[name]

    def _do(self, days: int, by: str, to: str, decide: Decision, body: Body, *, hour: float = 0) -> None:
        actor, target = self._player(by), self._player(to)
        self._on(days, lambda at: self.stage.act(actor, at, decide, body, user=target.id), hour=hour)

    def _incidents(self) -> None:
        self._beginnings()
        self._changes()
        self._departures()
        self._trouble()

    def _beginnings(self) -> None:
        """The Owner alone: tries the one thing that cannot be done, sets the contact, makes a key."""
        owner = self._player("Amara Okafor")
        delete = DeleteBody(confirm=owner.person.email, reason="Trying things out")
        self._on(
            90,
            lambda at: self.stage.refuse(owner, at, "user.delete", users.delete, delete, user=owner.id),
            hour=10.2,
        )
        contact = SettingsBody(support_contact="it-help@acme.example")
        self._on(90, lambda at: self.stage.act(owner, at, organizations.change, contact), hour=10.5)
        self._on(84, self._make_service_key, hour=11)
        laptop = KeyBody(name="Daniel's reports", permissions=["users.read", "roles.read"])
        daniel = self._player("Daniel Brooks")
        self._on(30, lambda at: self.stage.act(daniel, at, api_keys.make, laptop))

    async def _make_service_key(self, at: datetime) -> None:
        everything = sorted(rights.ALL - rights.NOT_FOR_KEYS)
        service = ServiceBody(name="Directory sync")
        body = KeyBody(name="Directory sync", permissions=everything, service=service)
        done = await self.stage.act(self._player("Amara Okafor"), at, api_keys.make, body)
        self.api_key = done.draft.secret["token"]

    def _changes(self) -> None:
        married = EditBody(name="Hannah Vogel-Lang", reason="Married")
        self._do(61, "Priya Raman", "Hannah Vogel", users.edit, married)
        self._do(45, "Amara Okafor", "Tomás Silva", users.edit, EditBody(labels=["engineering", "on-call"]))
        lead = EditBody(role="admin", reason="Stands in for Daniel")
        self._do(40, "Jonas Lindqvist", "Samuel Adeyemi", users.edit, lead)
        back = EditBody(role="member", reason="Daniel is back")
        self._do(25, "Jonas Lindqvist", "Samuel Adeyemi", users.edit, back)
        self._do(35, "Mei Tanaka", "Emily Carter", users.edit, EditBody(phone="+13125550199"))
        self._do(20, "Priya Raman", "Noah Williams", users.edit, EditBody(timezone="America/New_York"))

    def _departures(self) -> None:
        gone = {
            "Mateo Rossi": (48, "Contract ended"),
            "Victor Petrov": (33, "Contract ended"),
            "Arjun Mehta": (26, "Contract ended"),
            "Jack Thompson": (19, "Left the company"),
            "Ivan Horvat": (9, "Contract ended"),
            "Andrea Schmidt": (2, "Contract ended"),
        }
        for number, (name, (days, reason)) in enumerate(gone.items()):
            by = ("Mei Tanaka", "Priya Raman")[number % 2]
            self._do(days, by, name, users.deactivate, Reason(reason=reason), hour=17.2)
        leave, back = Reason(reason="Parental leave"), Reason(reason="Back from leave")
        self._do(58, "Mei Tanaka", "Camila Torres", users.deactivate, leave, hour=17.3)
        self._do(14, "Mei Tanaka", "Camila Torres", users.reactivate, back, hour=8.2)

    def _trouble(self) -> None:
        self._do(10, "Daniel Brooks", "Björn Eriksson", admin.reset_mfa, Reason(reason="Lost the phone"))
        forgot = ResetPasswordBody(revoke_now=False, reason="Forgot it, ticket 4711")
        self._do(12, "Daniel Brooks", "Henry Osei", admin.reset_password, forgot)
        stolen = Reason(reason="Laptop stolen")
        self._do(5, "Daniel Brooks", "Minh Tran", users.end_sessions, stolen, hour=17.6)
        for days, name, times in ((52, "Grace Kim", 2), (12, "Henry Osei", 4), (4, "Lena Fischer", 1)):
            player = self._player(name)
            for minute in range(times):
                at = self.today - days * DAY + 7.5 * HOUR + minute * MINUTE
                self._at(at, self._failing(player))

    def _failing(self, player: Player) -> Act:
        return lambda at: self.stage.fail_to_sign_in(player, at, f"198.51.100.{len(player.person.name)}")
