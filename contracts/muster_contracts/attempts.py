"""What was tried and refused: each one a stream of its own (`att_`), read by audit only."""

from muster_contracts.events import Event
from muster_contracts.topics import ATTEMPTS


class AttemptRefused(Event):
    """Nothing happened, and this is why.

    `act` is what was tried, `target` the id of what it was tried on, `login_hash` a keyed hash of a login
    that exists nowhere. `count` is above 1 where many like it were summed up.
    """

    type = "attempt.refused"
    topic = ATTEMPTS
    stream_field = None
    person_field = "target"

    act: str
    code: str
    rule: str | None
    target: str | None
    login_hash: str | None
    count: int
