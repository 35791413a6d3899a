"""What became of a mail or text message (stream `msg_`, written by the notifier)."""

from muster_contracts.events import Event, Personal
from muster_contracts.topics import NOTIFICATIONS


class MessageEvent(Event):
    """`kind` says what the message is, `channel` how it travels, `cause_event` which event led to it."""

    topic = NOTIFICATIONS
    stream_field = "message"
    person_field = "user"

    user: str
    message: str
    kind: str
    channel: str
    cause_event: str
    to: Personal[str]


class MessageQueued(MessageEvent):
    type = "message.queued"


class MessageSent(MessageEvent):
    """The next server took it over; that is not yet an open mailbox."""

    type = "message.sent"


class MessageFailed(MessageEvent):
    """This try failed, another follows. Servers like to repeat the address, so the error is personal too."""

    type = "message.failed"

    error: Personal[str]


class MessageAbandoned(MessageEvent):
    """It is not tried again."""

    type = "message.abandoned"

    error: Personal[str]
