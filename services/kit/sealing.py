"""Symmetric encryption: master keys, the keys of persons that they wrap, and sealed texts (AES-256-GCM).

A key of a person is the only way to read that person's fields; whoever destroys it has erased them everywhere.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic_core import from_json, to_json

from services.kit.noise import SIZE, noise

KEY_BYTES = 32
_NONCE = SIZE


class WrongKey(Exception):
    """The key does not open this: it is another one, or the text was altered."""


class Sealer:
    """Seals and opens bytes and JSON objects under one key; the context binds a text to its place."""

    __slots__ = ("_aead",)

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, context: str, nonce: bytes = b"") -> bytes:
        """Seal under a random nonce, or one of 12 bytes that is never used for another text."""
        nonce = nonce or noise()
        return nonce + self._aead.encrypt(nonce, plain, context.encode())

    def open(self, sealed: bytes, context: str) -> bytes:
        """Raises WrongKey."""
        try:
            return self._aead.decrypt(sealed[:_NONCE], sealed[_NONCE:], context.encode())
        except (InvalidTag, ValueError):
            raise WrongKey("a sealed text does not open under this key") from None

    def seal_json(self, value: Any, context: str) -> bytes:
        return self.seal(to_json(value), context)

    def open_json(self, sealed: bytes, context: str) -> Any:
        return from_json(self.open(sealed, context))


@dataclass(frozen=True, slots=True)
class MasterKeys:
    """Keys that wrap other keys; the first one wraps, all of them unwrap (rotation)."""

    keys: dict[str, bytes]

    @classmethod
    def parse(cls, text: str) -> MasterKeys:
        """Read `id:base64,id:base64`. Raises ValueError on anything else than 32 bytes each."""
        keys: dict[str, bytes] = {}
        for part in filter(None, (p.strip() for p in text.split(","))):
            name, _, encoded = part.partition(":")
            key = base64.b64decode(encoded, validate=True)
            if not name or len(key) != KEY_BYTES:
                raise ValueError("a master key is written id:base64 of 32 bytes")
            keys[name] = key
        if not keys:
            raise ValueError("no master key is set")
        return cls(keys)

    @property
    def current(self) -> str:
        return next(iter(self.keys))

    def wrap(self, key: bytes, owner: str) -> tuple[str, bytes]:
        """The name of the wrapping key and the wrapped one, bound to its owner."""
        return self.current, Sealer(self.keys[self.current]).seal(key, f"key:{owner}")

    def unwrap(self, name: str, wrapped: bytes, owner: str) -> bytes:
        """Raises WrongKey, also when the wrapping key is not among ours."""
        if name not in self.keys:
            raise WrongKey(f"master key {name!r} is not in the settings")
        return Sealer(self.keys[name]).open(wrapped, f"key:{owner}")

    def derive(self, purpose: str) -> list[bytes]:
        """Keys for what belongs to no person (answers kept for replay): of each master key, the current first."""
        info = f"muster:{purpose}".encode()
        return [hmac.digest(key, info, hashlib.sha256) for key in self.keys.values()]


def new_key() -> bytes:
    return os.urandom(KEY_BYTES)
