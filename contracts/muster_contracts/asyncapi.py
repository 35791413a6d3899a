"""The AsyncAPI document: every topic, message and header, made from the same tables that the code uses."""

from __future__ import annotations

from muster_contracts import __version__, topics
from muster_contracts.attributes import ATTRIBUTES, CONTENT_TYPE, DATA_SCHEMA, SCHEMA, SPEC_VERSION, Attribute
from muster_contracts.events import Data, Event
from muster_contracts.registry import EVENTS
from muster_contracts.schema import DIRECTORY_TYPE
from muster_contracts.topics import DIRECTORY, SESSION_RECEIPTS, Topic

_FORMAT = "application/schema+json;version=draft-2020-12"
_BOUND = ("retention.ms", "delete.retention.ms")
_KINDS: dict[str, Data] = {
    "text": {"type": "string"},
    "number": {"type": "string", "pattern": "^[0-9]{1,18}$"},
    "time": {"type": "string", "format": "date-time"},
}


def document() -> Data:
    """Return the document; `schemas/…` in it is relative to where it is found."""
    messages = {_name(kind): _message(kind) for kind in EVENTS} | {_DIRECTORY_NAME: _directory_message()}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Muster",
            "version": __version__,
            "description": "Every change to the people of an organization, as CloudEvents 1.0 (binary mode).",
        },
        "defaultContentType": "application/json",
        "channels": {topic.name: _channel(topic) for topic in topics.ALL},
        "operations": {topic.name.removeprefix("muster."): _operation(topic) for topic in topics.ALL},
        "components": {"messages": messages, "schemas": _headers()},
    }


_DIRECTORY_NAME = f"{DIRECTORY_TYPE}.1"


def _name(kind: type[Event]) -> str:
    return f"{kind.type}.{kind.version}"


def _channel(topic: Topic) -> Data:
    names = [_name(kind) for kind in EVENTS if kind.topic is topic] or [_DIRECTORY_NAME]
    policy = {"cleanup.policy": [topic.configs["cleanup.policy"]]}
    bound = {name: int(topic.configs[name]) for name in _BOUND if name in topic.configs}
    kafka = {"partitions": topic.partitions, "topicConfiguration": policy | bound, "bindingVersion": "0.5.0"}
    return {
        "address": topic.name,
        "description": f"Holds {topic.holds}. The key is the {topic.key}'s id.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
        "bindings": {"kafka": kafka},
        "x-configs": dict(topic.configs),
    }


def _operation(topic: Topic) -> Data:
    """Return what Muster itself does with a topic; a subscriber does the opposite."""
    action = "receive" if topic is SESSION_RECEIPTS else "send"
    return {"action": action, "channel": {"$ref": f"#/channels/{topic.name}"}}


def _message(kind: type[Event]) -> Data:
    return _describe(kind.type, kind.version, kind.__name__, "EventHeaders", kind.topic)


def _directory_message() -> Data:
    return _describe(DIRECTORY_TYPE, 1, "DirectoryUser", "DirectoryHeaders", DIRECTORY)


def _describe(type_: str, version: int, title: str, headers: str, topic: Topic) -> Data:
    return {
        "name": type_,
        "title": title,
        "contentType": "application/json",
        "headers": {"$ref": f"#/components/schemas/{headers}"},
        "payload": {"schemaFormat": _FORMAT, "schema": {"$ref": f"schemas/{type_}/{version}.json"}},
        "bindings": {"kafka": {"key": {"type": "string", "description": f"id of the {topic.key}"}}},
    }


def _headers() -> Data:
    fixed = {
        name: {"type": "string", "const": value.decode()} for name, value in (SPEC_VERSION, CONTENT_TYPE)
    }
    named = {each.header: _header(each) for each in (*ATTRIBUTES, SCHEMA)}
    required = [SPEC_VERSION[0], DATA_SCHEMA, *(each.header for each in ATTRIBUTES if each.required)]
    directory = {name: (fixed | named)[name] for name in (CONTENT_TYPE[0], "ce_org")}
    return {
        "EventHeaders": {
            "type": "object",
            "properties": fixed | named,
            "required": [*required, CONTENT_TYPE[0]],
        },
        "DirectoryHeaders": {"type": "object", "properties": directory, "required": list(directory)},
    }


def _header(attribute: Attribute) -> Data:
    return {**_KINDS[attribute.codec.kind], "description": attribute.meaning}
