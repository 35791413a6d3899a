"""Making an organization: an act of operators, so it has no route. The command line and the demo call it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from muster_contracts.events import Actor
from pydantic import BaseModel, ConfigDict, StringConstraints

from services.identity import permissions as rights
from services.identity.access import access_guard, owners_guard
from services.identity.fields import Email, Name, login_claim
from services.identity.links import INVITATION, new_link
from services.identity.organizations import decider
from services.identity.run import Draft, Origin, Runner
from services.identity.store import Claim
from services.identity.users.decider import NewLink
from services.kit.ids import new_id
from services.kit.persons import PersonKeys
from services.kit.postgres import Database

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{2,40}$")]


class NewOrganization(BaseModel):
    """What is asked for; refuses what no organization may be called."""

    model_config = ConfigDict(frozen=True)

    slug: Slug
    name: Name
    owner_email: Email
    owner_name: Name


@dataclass(frozen=True, slots=True)
class Created:
    organization: str
    owner: str
    link_expires_at: datetime


def operator(name: str) -> Actor:
    """Someone at the command line, by the name of their account on that machine."""
    return Actor(type="operator", id="operator", name=name)


async def create(runner: Runner, asked: NewOrganization, actor: Actor, at: datetime | None = None) -> Created:
    """Make the organization and invite its first Owner.

    Args:
        runner: of an open identity.
        asked: slug, name and Owner.
        actor: an operator.
        at: when it happens, in a history that is made up; None: now, by the database's clock.

    Raises:
        SlugTaken: another one has this slug.
    """
    created: Created | None = None

    async def decide(connection: Database) -> tuple[Origin, Draft]:
        nonlocal created
        now = at or await connection.fetchval("SELECT now()")
        created, draft = await draft_of(connection, runner.keys, asked, now)
        origin = Origin(created.organization, actor, now, new_id("req"), recorded_at=at)
        return origin, draft

    await runner.run(decide)
    assert created is not None  # noqa: S101 (the decision that was committed has set it)
    return created


async def draft_of(
    connection: Database, keys: PersonKeys, asked: NewOrganization, now: datetime
) -> tuple[Created, Draft]:
    """The draft of a new organization. Source: table `claims`. Raises SlugTaken."""
    org, owner = new_id("org"), new_id("usr")
    slug = slug_claim(asked.slug)
    taken = await connection.fetchval("SELECT true FROM claims WHERE id = $1", slug) or False
    own, person = keys.new(org), keys.new(owner)
    link = new_link(org, owner, INVITATION, person.sealer, now)
    roles = dict(zip(rights.BUILTIN, sorted(new_id("rol") for _ in rights.BUILTIN), strict=True))
    events = decider.create(
        decider.Create(
            org, asked.slug, asked.name, roles, owner, asked.owner_email, asked.owner_name,
            NewLink(link.id, link.expires_at), taken,
        )
    )  # fmt: skip
    guards = (owners_guard(org), access_guard(owner))
    return Created(org, owner, link.expires_at), Draft(
        events=events,
        reads=dict.fromkeys(guards, 0),
        touches=frozenset(guards),
        claims=(Claim(slug, org), Claim(login_claim(org, asked.owner_email), owner)),
        writes=(link,),
        persons=(own, person),
    )


def slug_claim(slug: str) -> str:
    """The claim on a slug: no two organizations share one."""
    return f"slug:{slug}"
