"""What happens to an organization: pure decisions, in the order of checks of api.md §2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from muster_contracts.events import Change, Event, Ref
from muster_contracts.organizations import OrganizationCreated, OrganizationSettingsChanged
from muster_contracts.roles import RoleCreated
from muster_contracts.users import InvitationSent, UserCreated

from services.identity import permissions as rights
from services.identity import rules
from services.identity.organizations.settings import OrganizationSettings
from services.identity.rules import By, OwnerProtected, RuleRefusal
from services.identity.users.decider import NewLink
from services.identity.users.state import INVITED
from services.kit.errors import Conflict

FOR_ADMINS = frozenset({"name", "support_contact"})
"""The settings that are not for Owners only."""


class SlugTaken(RuleRefusal, Conflict):
    """Another organization has this slug already."""

    code = "slug_taken"


class OwnersSetting(OwnerProtected):
    """Only an Owner changes this setting."""


class WouldLockYouOut(RuleRefusal, Conflict):
    """Set up a second factor of your own first: everyone needs one from then on, you too."""

    code = "would_lock_you_out"


@dataclass(frozen=True, slots=True)
class Create:
    """A new organization with its three roles and the first Owner, who is invited.

    `roles` names the id of each built-in role; `taken`: another organization has the slug.
    """

    organization: str
    slug: str
    name: str
    roles: Mapping[str, str]
    owner: str
    email: str
    owner_name: str
    link: NewLink
    taken: bool = False


@dataclass(frozen=True, slots=True)
class ChangeSettings:
    """Set several settings at once; `enrolled`: who asks has a second factor in force."""

    by: By
    settings: Mapping[str, Any]
    enrolled: bool
    expected_version: int | None = None


def create(command: Create) -> list[Event]:
    """Everything that a new organization begins with. Raises SlugTaken."""
    if command.taken:
        raise SlugTaken
    role = Ref(id=command.roles[rights.OWNER], name=rights.BUILTIN_NAMES[rights.OWNER])
    user, email, link = command.owner, command.email, command.link
    return [
        OrganizationCreated(organization=command.organization, slug=command.slug, name=command.name),
        *(_builtin_role(builtin, command.roles[builtin]) for builtin in rights.BUILTIN),
        UserCreated(
            user=user, email=email, name=command.owner_name, username=None, phone=None, timezone=None, labels=(),
            role=role, status=INVITED,
        ),
        InvitationSent(user=user, link=link.id, expires_at=link.expires_at, email=email),
    ]  # fmt: skip


def _builtin_role(builtin: str, role: str) -> RoleCreated:
    return RoleCreated(
        role=role,
        name=rights.BUILTIN_NAMES[builtin],
        description=rights.BUILTIN_TEXTS[builtin],
        permissions=tuple(sorted(rights.BUILTIN[builtin])),
        builtin=builtin,
    )


def change(now: OrganizationSettings, command: ChangeSettings) -> list[Event]:
    """One event with the settings that really change; none where nothing does.

    Raises:
        OwnersSetting: one is for Owners, and the caller is none.
        ConfirmationRequired, VersionConflict: see `rules`.
        WouldLockYouOut: a second factor is asked of everyone by someone without one.
    """
    by, asked = command.by, command.settings
    if not (asked.keys() <= FOR_ADMINS or by.is_owner or by.sovereign):
        raise OwnersSetting
    rules.check_confirmed(by)
    rules.check_version(now.version, command.expected_version)
    changes = {
        name: Change(old=old, new=value)
        for name, value in asked.items()
        if value != (old := getattr(now, name))
    }
    if not changes:
        return []
    if asked.get("mfa_enforced") and not now.mfa_enforced and not command.enrolled:
        raise WouldLockYouOut
    return [OrganizationSettingsChanged(organization=now.id, **changes)]
