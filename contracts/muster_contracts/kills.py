"""Orders to end the sessions of a user everywhere, and what services answered."""

from muster_contracts.events import Event, Time
from muster_contracts.topics import SESSION_KILLS, SESSION_RECEIPTS


class SessionKillOrdered(Event):
    """End all that you keep of this user; `sessions` are those that Muster itself ended (stream `kil_`).

    Sent again until confirmed: same `kill`, next sequence.
    """

    type = "session_kill.ordered"
    topic = SESSION_KILLS
    stream_field = "kill"
    person_field = "user"

    kill: str
    user: str
    sessions: tuple[str, ...]
    cause: str
    deadline_at: Time


class SessionKillConfirmed(Event):
    """A service has ended `ended` sessions (0 is an answer too); its stream is the `ce_id` of the order.

    The record's key is the user of the order.
    """

    type = "session_kill.confirmed"
    topic = SESSION_RECEIPTS
    stream_field = None
    stamped = False

    kill: str
    service: str
    ended: int
    at: Time
