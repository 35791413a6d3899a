"""What happens to an API key (stream `key_`)."""

from muster_contracts.events import Event, Ref, Time
from muster_contracts.topics import ORGANIZATIONS


class ApiKeyEvent(Event):
    """`user` owns a personal key, or is the person responsible for a service account."""

    topic = ORGANIZATIONS
    stream_field = "key"
    person_field = "user"

    key: str
    name: str
    user: str | None


class ApiKeyCreated(ApiKeyEvent):
    """`service` is the service account that the key signs in as; null for a personal key."""

    type = "api_key.created"

    permissions: tuple[str, ...]
    expires_at: Time | None
    service: Ref | None


class ApiKeyRevoked(ApiKeyEvent):
    type = "api_key.revoked"

    cause: str
