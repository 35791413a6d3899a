"""An organization seen from outside: its Owner signed in, and people who join it by the mails they get."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from pyotp.totp import TOTP

from tests.e2e.client import Client, Json, together
from tests.e2e.mailbox import Mailbox
from tests.e2e.place import Place
from tests.e2e.tape import Tape

STEP = 30
AT_A_TIME = 10
FRESH_SECONDS = 480.0
"""A session counts as confirmed for 10 minutes."""
RUN = secrets.token_hex(3)
"""Sets the people of this run apart from those of another run on the same Muster."""
_numbers = count(1)


def new_password() -> str:
    return secrets.token_urlsafe(18)


class Authenticator:
    """An app with one seed; never shows a code of the same step twice, as each counts once."""

    def __init__(self, secret: str) -> None:
        self._totp = TOTP(secret)
        self._last = int(time.time()) // STEP - 2

    def code(self) -> str:
        """A code that was not shown yet; the server takes those of one step before and after too."""
        now = int(time.time()) // STEP
        self._last = max(self._last + 1, now - 1)
        while self._last > int(time.time()) // STEP + 1:
            time.sleep(0.2)
        return self._totp.generate_otp(self._last)


@dataclass
class Person:
    """Someone with a password; `client` is their newest session."""

    id: str
    email: str
    name: str
    password: str
    client: Client
    session: Json = field(default_factory=dict)
    app: Authenticator | None = None
    recovery_codes: list[str] = field(default_factory=list)
    proved_at: float = field(default_factory=time.monotonic)

    def enroll(self) -> Person:
        """Set up an authenticator app in this session."""
        factor = self.client.post("/v1/me/factors", {"type": "totp"})
        self.app = Authenticator(factor["secret"])
        answer = self.client.post(f"/v1/me/factors/{factor['id']}/activate", {"code": self.app.code()})
        self.recovery_codes = answer["recovery_codes"]
        if answer.get("token"):
            self.client = self.client.with_token(answer["token"])
        return self

    def prove(self) -> Person:
        """Confirm the session before it stops counting as confirmed; most of the time there is nothing to do."""
        if time.monotonic() - self.proved_at > FRESH_SECONDS:
            proof = {"code": self.app.code()} if self.app else {"password": self.password}
            self.client.post("/v1/me/confirm", proof, status=204)
            self.proved_at = time.monotonic()
        return self


class Org:
    """One organization."""

    def __init__(self, anyone: Client, slug: str, mailbox: Mailbox, tape: Tape) -> None:
        self.anyone = anyone
        self.slug = slug
        self.mailbox = mailbox
        self.tape = tape
        self._owner: Person
        self._waiting: list[Person] = []

    @property
    def owner(self) -> Person:
        """Its Owner, who may do what has to be confirmed, however long the run is."""
        return self._owner.prove()

    @owner.setter
    def owner(self, person: Person) -> None:
        self._owner = person

    def try_sign_in(self, login: str, password: str, **more: Any) -> Any:
        return self.anyone.send(
            "POST",
            "/v1/sign-in",
            {"organization": self.slug, "login": login, "password": password},
            **more,
        )

    def sign_in(self, login: str, password: str) -> tuple[Client, Json]:
        """A new session, or half of one; and the answer."""
        answer = self.try_sign_in(login, password)
        assert answer.status_code == 200, f"{login}: {answer.status_code} {answer.text}"
        document = answer.json()
        return self.anyone.with_token(document["token"]), document

    def enter(self, person: Person) -> Person:
        """Sign someone in whose password is enough."""
        person.client, answer = self.sign_in(person.email, person.password)
        assert answer["next"] == "done", answer
        person.session, person.proved_at = answer["session"], time.monotonic()
        return person

    def adopt_owner(self, email: str, password: str) -> Person:
        client, answer = self.sign_in(email, password)
        me = client.get("/v1/me")
        self.owner = Person(me["id"], email, me["name"], password, client, answer["session"])
        return self.owner

    def invite(self, role: str = "member", by: Client | None = None, **fields: Any) -> Json:
        """Invite someone with made-up name and address, and return the user."""
        number = next(_numbers)
        given = {"email": f"p{number}.{RUN}@e2e.example", "name": f"Robin {RUN.title()} {number}"} | fields
        if role != "member":
            given["role"] = role
        return (by or self.owner.client).post("/v1/users", given, status=201)["user"]

    def accept(self, user: Json) -> Person:
        """Follow the invitation that arrived by mail, and choose a password."""
        token, password = self.mailbox.token(user["email"], "invitation"), new_password()
        self.anyone.post("/v1/invitations/accept", {"token": token, "password": password})
        return Person(user["id"], user["email"], user["name"], password, self.anyone)

    def join(self, role: str = "member", **fields: Any) -> Person:
        """Someone new, signed in."""
        if fields:
            return self.enter(self.accept(self.invite(role, **fields)))
        person = self._newcomer()
        if role != "member":
            self.owner.client.patch(f"/v1/users/{person.id}", {"role": role})
        return self.enter(person)

    def _newcomer(self) -> Person:
        """Someone who has a password; several are invited at a time, so that their mails travel together."""
        if not self._waiting:
            users = together(*[self.invite] * AT_A_TIME)
            self._waiting = together(*(partial(self.accept, user) for user in users))
        return self._waiting.pop()

    def user(self, user_id: str) -> Json:
        return self.owner.client.get(f"/v1/users/{user_id}")

    def api_key(self, *permissions: str) -> Client:
        given = {"name": f"key {next(_numbers)}", "permissions": list(permissions)}
        return self.anyone.with_token(self.owner.client.post("/v1/api-keys", given, status=201)["token"])


def new_org(place: Place, beside: Org, slug: str) -> Org:
    """Another organization, made at the command line; its Owner has followed the invitation."""
    address = f"owner@{slug}.example"
    place.muster("organizations", "create", slug, "--owner", address)
    org = Org(beside.anyone, slug, beside.mailbox, beside.tape)
    password = new_password()
    token = beside.mailbox.token(address, "invitation")
    beside.anyone.post("/v1/invitations/accept", {"token": token, "password": password})
    org.adopt_owner(address, password)
    return org
