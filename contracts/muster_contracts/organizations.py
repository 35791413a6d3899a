"""What happens to an organization (stream `org_`)."""

from muster_contracts.events import Change, Event, Sparse
from muster_contracts.topics import ORGANIZATIONS


class OrganizationEvent(Event):
    topic = ORGANIZATIONS
    stream_field = "organization"

    organization: str


class OrganizationCreated(OrganizationEvent):
    type = "organization.created"

    slug: str
    name: str


class OrganizationSettingsChanged(OrganizationEvent):
    """Holds the settings that changed, and no others."""

    type = "organization.settings_changed"

    name: Sparse[Change[str]] = None
    support_contact: Sparse[Change[str]] = None
    mfa_enforced: Sparse[Change[bool]] = None
    password_min_length: Sparse[Change[int]] = None
    session_idle_seconds: Sparse[Change[int]] = None
    session_absolute_seconds: Sparse[Change[int]] = None
    session_address: Sparse[Change[str]] = None
    sign_in_networks: Sparse[Change[tuple[str, ...]]] = None
    audit_retention_days: Sparse[Change[int]] = None
    audit_identity_days: Sparse[Change[int]] = None
