"""What happens to a role (stream `rol_`)."""

from muster_contracts.events import Change, Event, Sparse
from muster_contracts.topics import ORGANIZATIONS


class RoleEvent(Event):
    topic = ORGANIZATIONS
    stream_field = "role"

    role: str


class RoleCreated(RoleEvent):
    type = "role.created"

    name: str
    description: str
    permissions: tuple[str, ...]
    builtin: Sparse[str] = None
    """`owner`, `admin` or `member`: those that each organization starts with, and that stay as they are."""


class RoleChanged(RoleEvent):
    """Holds what changed, and nothing else."""

    type = "role.changed"

    name: Sparse[Change[str]] = None
    description: Sparse[Change[str]] = None
    permissions: Sparse[Change[tuple[str, ...]]] = None


class RoleRemoved(RoleEvent):
    type = "role.removed"

    name: str
