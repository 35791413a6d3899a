"""Permissions, and which of them the three built-in roles hold (api.md §2)."""

from __future__ import annotations

ALL = frozenset(
    {
        "users.read", "users.create", "users.edit", "users.assign_role", "users.deactivate", "users.reset_mfa",
        "users.reset_password", "users.delete", "sessions.read", "sessions.end", "roles.read", "roles.manage",
        "organization.read", "organization.manage", "api_keys.manage", "ip_rules.read", "tokens.introspect",
        "events.read", "audit.read", "audit.export", "content.manage",
    }
)  # fmt: skip

NOT_FOR_KEYS = frozenset({"roles.manage", "users.assign_role", "api_keys.manage", "organization.manage"})
"""What an API key never holds: it could make itself more than it is."""

ADMINISTRATION = frozenset({"users.edit", "users.assign_role"})
"""Whoever holds both, Active and with a password, can administer the organization: the lock-out guard."""

OWNER, ADMIN, MEMBER = "owner", "admin", "member"
BUILTIN: dict[str, frozenset[str]] = {OWNER: ALL, ADMIN: ALL, MEMBER: frozenset()}
BUILTIN_NAMES = {OWNER: "Owner", ADMIN: "Admin", MEMBER: "Member"}
BUILTIN_TEXTS = {
    OWNER: "Full, unrestricted access to everything.",
    ADMIN: "Manages settings, people and content.",
    MEMBER: "Contributes, without administration.",
}


def of_role(builtin: str | None, permissions: list[str] | tuple[str, ...]) -> frozenset[str]:
    """What a role gives: a built-in one by this release's table, a custom one what it was saved with."""
    return BUILTIN[builtin] if builtin else frozenset(permissions)
