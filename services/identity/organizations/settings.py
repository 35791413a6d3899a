"""The settings of an organization, as every decision reads them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

STRICT_PASSWORD, PASSWORD_BESIDE_MFA = 15, 8


@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """Durations in seconds and days; source: table `organizations`."""

    id: str
    slug: str
    name: str
    support_contact: str | None = None
    mfa_enforced: bool = False
    password_min_length: int | None = None
    session_idle_seconds: int = 12 * 3600
    session_absolute_seconds: int = 30 * 86400
    session_address: str = "record"
    sign_in_networks: tuple[str, ...] = ()
    audit_retention_days: int = 365
    audit_identity_days: int = 90
    version: int = 0

    @classmethod
    def of_row(cls, row: Any) -> OrganizationSettings:
        """From a row (or its JSON object) of table `organizations`."""
        values: dict[str, Any] = {field.name: row[field.name] for field in fields(cls)}
        values["sign_in_networks"] = tuple(values["sign_in_networks"])
        return cls(**values)

    @property
    def shortest_password(self) -> int:
        """Characters: 15, or 8 where a second factor is asked of everyone (NIST SP 800-63B-4 §3.1.1.2)."""
        return self.password_min_length or (PASSWORD_BESIDE_MFA if self.mfa_enforced else STRICT_PASSWORD)
