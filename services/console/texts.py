"""Words that more than one page says, and how effects and refusals are told."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any
from zoneinfo import available_timezones

from services.console.times import counted

Json = dict[str, Any]

IRREVERSIBLE = "Deleting a user is irreversible. Deactivate first if you're unsure."
AUTH_APP = (
    "Use an authenticator app such as Google Authenticator or Microsoft Authenticator "
    "to get auto-generated codes."
)
TEXT_MESSAGE = "Receive a verification code by SMS."
NO_TEXT_MESSAGES = "Not available: no provider for text messages is configured."

_EFFECTS = (
    ("sessions_ended", "session", "ends", "end"),
    ("ip_rules_revoked", "IP rule", "is revoked", "are revoked"),
    ("api_keys_revoked", "API key", "is revoked", "are revoked"),
    ("links_voided", "open link", "becomes void", "become void"),
    ("factors_removed", "second factor", "is removed", "are removed"),
    ("recovery_codes_deleted", "recovery code", "is deleted", "are deleted"),
)

FIELDS = {
    "name": "Name", "email": "Email", "username": "Username", "phone": "Phone", "timezone": "Timezone",
    "labels": "Labels", "role": "Role", "status": "Status", "active": "Active", "organization": "Organization",
    "login": "Email or username", "password": "Password", "current_password": "Current password",
    "code": "Code", "confirm": "Email", "reason": "Reason", "token": "Link",
}  # fmt: skip

RULES = {
    "last_administrator": "an organization always keeps someone with administration rights who can sign in",
    "last_owner": "an organization always keeps an Owner who can sign in",
    "owner_protected": "only an Owner acts on an Owner, and only an Owner grants or takes away Owner",
    "target_outranks": "nobody acts on someone who holds permissions that they lack themselves",
    "self_action": "nobody does this to themself",
    "permission_not_held": "nobody gives a permission that they lack themselves",
    "permission": "this needs a permission that your role does not hold",
    "person": "only a signed-in person does this",
}

EVENTS = {
    "user.created": "Invited", "user.renamed": "Name changed", "user.email_changed": "Email changed",
    "user.username_changed": "Username changed", "user.phone_changed": "Phone changed",
    "user.timezone_changed": "Timezone changed", "user.labels_changed": "Labels changed",
    "user.role_changed": "Role changed", "user.deactivated": "Deactivated", "user.reactivated": "Reactivated",
    "user.deleted": "Deleted", "invitation.sent": "Invitation sent", "invitation.accepted": "Invitation accepted",
    "invitation.voided": "Invitation void", "password.changed": "Password changed",
    "password.reset_requested": "Password reset asked for", "password.reset_completed": "New password set",
    "mfa.enrolled": "MFA set up", "mfa.factor_removed": "Second factor removed", "mfa.reset": "MFA reset",
    "recovery_codes.generated": "Recovery codes made", "recovery_codes.used": "Recovery code used",
    "session.started": "Signed in", "session.ended": "Session ended", "ip_rule.granted": "IP rule granted",
    "ip_rule.revoked": "IP rule revoked", "organization.created": "Organization created",
    "organization.settings_changed": "Settings changed", "api_key.created": "API key created",
    "api_key.revoked": "API key revoked", "audit.read": "Audit read",
}  # fmt: skip

FACTORS = {"totp": "Auth App", "sms": "Text Message"}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A problem as a page tells it."""

    code: str
    detail: str
    rule: str | None
    missing_permission: str | None
    who_can: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]
    request_id: str


def effects(found: Json) -> list[str]:
    """What an act does, in numbers; what is zero is left out."""
    told: list[str] = []
    for name, thing, one, many in _EFFECTS:
        if number := found.get(name) or 0:
            told.append(f"{counted(number, thing)} {one if number == 1 else many}")
    return told


def refusal(document: Json) -> Refusal:
    """Of an RFC 9457 document."""
    rule = document.get("rule")
    return Refusal(
        code=document.get("code", "internal"),
        detail=document.get("detail") or "Something went wrong on our side.",
        rule=RULES.get(rule, rule.replace("_", " ")) if isinstance(rule, str) else None,
        missing_permission=document.get("missing_permission"),
        who_can=tuple(person["name"] for person in document.get("who_can") or ()),
        fields=tuple(_field(error) for error in document.get("errors") or ()),
        request_id=document.get("request_id", ""),
    )


def _field(error: Json) -> tuple[str, str]:
    name = str(error.get("pointer", "")).strip("/").partition("/")[0]
    return FIELDS.get(name, name), str(error.get("detail", "")).removeprefix("Value error, ")


def field_value(value: Any) -> str:
    """A value of the API in words."""
    if value is None or value in ("", []):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, dict):
        return str(value.get("name") or value.get("id") or "")  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    return str(value)


def event(kind: str) -> str:
    """What happened, by the type of its event."""
    return EVENTS.get(kind) or kind.replace(".", " ").replace("_", " ").capitalize()


def device(user_agent: str | None) -> str:
    """Browser and system of a User-Agent, as far as they can be told."""
    agent = user_agent or ""
    browsers = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"),
                ("Safari/", "Safari"), ("curl/", "curl"), ("python", "Python"))  # fmt: skip
    systems = (("Windows", "Windows"), ("Android", "Android"), ("iPhone", "iPhone"), ("iPad", "iPad"),
               ("Mac OS", "macOS"), ("CrOS", "ChromeOS"), ("Linux", "Linux"))  # fmt: skip
    browser = next((name for mark, name in browsers if mark in agent), "")
    system = next((name for mark, name in systems if mark in agent), "")
    return f"{browser} on {system}" if browser and system else browser or system or "Unknown device"


AUDIT_TYPES = (
    *sorted(EVENTS.items(), key=lambda pair: pair[1]),
    ("session.start", "Sign-in refused"),
    ("user.delete", "Deletion refused"),
    ("user.deactivate", "Deactivation refused"),
    ("user.edit", "Edit refused"),
    ("mfa.reset", "MFA reset refused"),
    ("password.reset", "Password reset refused"),
)
"""Types that the audit page offers: events, and acts that were refused."""


@cache
def timezones() -> tuple[str, ...]:
    """The names that a person may choose from."""
    return tuple(
        sorted(name for name in available_timezones() if "/" in name and not name.startswith("Etc/"))
    )
