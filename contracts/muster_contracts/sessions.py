"""What happens to a session and to its IP rule (stream `ses_`)."""

from muster_contracts.events import Personal, Time
from muster_contracts.users import UserEvent


class SessionEvent(UserEvent):
    """About one session, in the session's stream; the key is still its user."""

    stream_field = "session"

    session: str


class SessionStarted(SessionEvent):
    """`amr` says how the user signed in (RFC 8176: `pwd`, `otp`, …)."""

    type = "session.started"

    amr: tuple[str, ...]
    expires_at: Time


class SessionEnded(SessionEvent):
    """`kill` names the order to end what others keep; null when the session just expired."""

    type = "session.ended"

    cause: str
    kill: str | None


class IpRuleGranted(SessionEvent):
    """The session may be used from `network`, until `expires_at` or the end of the session."""

    type = "ip_rule.granted"

    id: str
    network: Personal[str]
    expires_at: Time


class IpRuleRevoked(SessionEvent):
    type = "ip_rule.revoked"

    id: str
    network: Personal[str]
