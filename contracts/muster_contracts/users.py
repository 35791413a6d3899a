"""What happens to a user: profile, status, role and invitation (stream `usr_`)."""

from typing import Annotated

from muster_contracts.events import PERSONAL, Change, Event, Personal, Ref, Time
from muster_contracts.topics import USERS


class UserEvent(Event):
    """About one user, and in that user's stream."""

    topic = USERS
    stream_field = "user"
    person_field = "user"

    user: str


class UserCreated(UserEvent):
    type = "user.created"

    email: Personal[str]
    name: Personal[str]
    username: Personal[str]
    phone: Personal[str]
    timezone: str | None
    labels: Personal[tuple[str, ...]]
    role: Ref
    status: str


class UserRenamed(UserEvent):
    type = "user.renamed"

    name: Annotated[Change[str], PERSONAL]


class UserEmailChanged(UserEvent):
    type = "user.email_changed"

    email: Annotated[Change[str], PERSONAL]


class UserUsernameChanged(UserEvent):
    type = "user.username_changed"

    username: Annotated[Change[str], PERSONAL]


class UserPhoneChanged(UserEvent):
    type = "user.phone_changed"

    phone: Annotated[Change[str], PERSONAL]


class UserTimezoneChanged(UserEvent):
    type = "user.timezone_changed"

    timezone: Change[str]


class UserLabelsChanged(UserEvent):
    type = "user.labels_changed"

    labels: Annotated[Change[tuple[str, ...]], PERSONAL]


class UserRoleChanged(UserEvent):
    type = "user.role_changed"

    role: Change[Ref]


class UserDeactivated(UserEvent):
    """From here on no request of this user is accepted; `kill` names the order to end what others keep."""

    type = "user.deactivated"

    kill: str
    status: Change[str]


class UserReactivated(UserEvent):
    type = "user.reactivated"

    status: Change[str]


class UserDeleted(UserEvent):
    """The user is gone, and the id is never used again."""

    type = "user.deleted"

    kill: str
    name: Personal[str]
    email: Personal[str]


class InvitationSent(UserEvent):
    """A link to accept with; `link` is its id, never its token."""

    type = "invitation.sent"

    link: str
    expires_at: Time
    email: Personal[str]


class InvitationAccepted(UserEvent):
    type = "invitation.accepted"

    link: str
    status: Change[str]


class InvitationVoided(UserEvent):
    """The link no longer works: `cause` is `expired`, `deactivated`, `deleted`, `replaced`, or newer."""

    type = "invitation.voided"

    link: str
    cause: str
