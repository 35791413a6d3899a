"""Passwords: which ones are accepted, and how they are hashed and compared.

Argon2id in threads of their own, as many at once as there are cores: more would only slow each other down, and
memory stays at cores x 19 MiB. One guess more than that is let in, so that no core waits while a guess is admitted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from zxcvbn_rs_py import zxcvbn

from services.kit.errors import Unavailable, Unprocessable

LONGEST = 256
MEMORY_KIB, ROUNDS, LANES = 19_456, 2, 1
"""OWASP's second choice, 19 MiB and two rounds."""
EASILY_GUESSED = 1
"""Highest score of zxcvbn that is refused: fewer than a million guesses find it."""
SHORTEST_WORD = 3
TURN_SECONDS = 20.0
JUDGED = 100
"""Characters that are looked at for being common: what is longer is not guessed from a list."""

T = TypeVar("T")


class Busy(Unavailable):
    """Too many people are signing in at once; try again."""

    code = "busy"


class PasswordTooShort(Unprocessable):
    """This password is too short."""

    code = "password_too_short"


class PasswordTooCommon(Unprocessable):
    """This password is easily guessed: it is common, or made of your own name."""

    code = "password_too_common"


class Hasher:
    """Hashes and compares passwords beside the event loop; one for a process."""

    def __init__(self) -> None:
        cores = os.cpu_count() or 1
        self._argon2 = PasswordHasher(time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=LANES)
        self._threads = ThreadPoolExecutor(cores, thread_name_prefix="argon2")
        self._turns = asyncio.Semaphore(cores + 1)
        self._nobodys = self._argon2.hash(os.urandom(32))

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a core before a guess is admitted, so that an admitted one is evaluated soon.

        Raises:
            Busy: too many others are waiting.
        """
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise Busy(retry_after=1) from None
        try:
            yield
        finally:
            self._turns.release()

    async def hash(self, password: str) -> str:
        """A PHC string with a salt of its own."""
        return await self._beside(lambda: self._argon2.hash(password))

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether this is the password; without a hash it takes as long, and is not."""
        found = await self._beside(lambda: self._verify(kept or self._nobodys, password))
        return found and kept is not None

    def is_outdated(self, kept: str) -> bool:
        """Whether it was hashed with weaker parameters than today's."""
        return self._argon2.check_needs_rehash(kept)

    async def check(self, password: str, shortest: int, context: Iterable[str | None]) -> None:
        """Whether a new password is good enough.

        Args:
            password: as typed; kept exactly so.
            shortest: characters that the organization asks for.
            context: the person's own name and address, the organization's name: what others would try first.

        Raises:
            PasswordTooShort, PasswordTooCommon.
        """
        if len(password) < shortest:
            raise PasswordTooShort(f"A password needs at least {shortest} characters.")
        words = context_words(context)
        if await self._beside(lambda: is_easily_guessed(password, words)):
            raise PasswordTooCommon

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, kept: str, password: str) -> bool:
        try:
            return self._argon2.verify(kept, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _beside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def context_words(texts: Iterable[str | None]) -> list[str]:
    """The words of names and addresses that a password must not consist of."""
    words: set[str] = set()
    for text in texts:
        whole = (text or "").casefold()
        parts = "".join(c if c.isalnum() else " " for c in whole).split()
        words |= {w for w in (whole, *parts) if len(w) >= SHORTEST_WORD}
    return sorted(words, key=lambda w: (-len(w), w))


def is_easily_guessed(password: str, words: list[str]) -> bool:
    """Whether a list of common passwords and these words find it, or what is left of it without the words."""
    judged = password[:JUDGED]
    rest = judged.casefold()
    for word in words:
        rest = rest.replace(word, "")
    return any(int(zxcvbn(text, words).score) <= EASILY_GUESSED for text in {judged, rest})
