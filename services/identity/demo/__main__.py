"""`python -m services.identity.demo`: make the demo organization, and print its sign-ins as JSON.

They are printed once and kept nowhere: a second run finds the organization and says so. It runs only with
the embedded servers, and only in a database that nothing else was ever written to.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import string
import sys
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from services.identity.app import open_services
from services.identity.bootstrap import Identity, NotMigrated, open_identity, prepare
from services.identity.demo.history import History
from services.identity.demo.people import PEOPLE, PRINTED
from services.identity.demo.stage import Stage
from services.identity.organizations.creation import NewOrganization, create, operator
from services.identity.routes import Services
from services.kit import telemetry
from services.kit.errors import MusterError
from services.kit.postgres import DATABASE_AWAY
from services.kit.sealing import WrongKey
from services.kit.settings import Settings, SettingsError, load

FAILED, USAGE, TRY_AGAIN, REFUSED = 1, 2, 3, 4
SLUG, NAME = "acme", "Acme"
BEGAN = timedelta(days=90)
LENGTH = 20
ALPHABET = string.ascii_letters + string.digits


class NotOurs(Exception):
    """This is no database for a demo."""


async def make(settings: Settings) -> dict[str, Any]:
    """The sign-ins of the demo, or `{"exists": True}`.

    Raises:
        NotOurs: the database belongs to somebody.
    """
    if not settings.embedded:
        raise NotOurs("The demo organization is made by `make up` only, with its own servers.")
    async with open_identity(settings) as identity:
        await prepare(identity)
        if await exists(identity):
            return {"exists": True}
        async with open_services(identity, settings) as services:
            return await seed(identity, services)


async def exists(identity: Identity) -> bool:
    """Raises NotOurs: something else is there."""
    async with identity.pool.acquire() as connection:
        slugs = [row["slug"] for row in await connection.fetch("SELECT slug FROM organizations")]
        written = await connection.fetchval("SELECT position FROM log_head")
    if written and slugs != [SLUG]:
        raise NotOurs("This database holds other organizations: the demo is made in an empty one only.")
    return bool(written)


async def seed(identity: Identity, services: Services) -> dict[str, Any]:
    """Play the history; only the three printed people have passwords that somebody knows."""
    now: datetime = await identity.pool.fetchval("SELECT now()")
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    passwords = {role: new_password() for role in PRINTED}
    hashes = {
        PRINTED[role].email: await services.hasher.hash(password) for role, password in passwords.items()
    }
    first = PEOPLE[0]
    asked = NewOrganization(slug=SLUG, name=NAME, owner_email=first.email, owner_name=first.name)
    began = today - BEGAN + timedelta(hours=8)
    created = await create(identity.runner, asked, operator("muster"), began)
    stage = Stage(services, created.organization, began)
    nobodys = await services.hasher.hash(new_password())
    history = History(stage, today, now, hashes, nobodys, created.owner)
    await history.play()
    people = {
        role: {"email": PRINTED[role].email, "password": password} for role, password in passwords.items()
    }
    return {"organization": SLUG, **people, "api_key": history.api_key}


def new_password() -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def main() -> int:
    telemetry.configure("demo", "warning")
    try:
        made = asyncio.run(make(load()))
    except NotOurs as error:
        return _failed(REFUSED, str(error))
    except (SettingsError, WrongKey) as error:
        return _failed(USAGE, str(error))
    except NotMigrated as error:
        return _failed(FAILED, str(error))
    except (*DATABASE_AWAY, asyncpg.PostgresError, MusterError) as error:
        return _failed(
            TRY_AGAIN, f"The demo organization could not be finished: {error or type(error).__name__}"
        )
    sys.stdout.write(json.dumps(made) + "\n")
    return 0


def _failed(code: int, text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
