"""Which passwords are accepted, and how they are compared."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from argon2 import PasswordHasher

from services.identity.credentials.passwords import (
    Busy,
    Hasher,
    PasswordTooCommon,
    PasswordTooShort,
    context_words,
    is_easily_guessed,
)

CONTEXT = ("ada.lovelace@acme.example", None, "Ada Lovelace", "Acme Corporation", "acme")


@pytest.fixture
async def hasher() -> AsyncIterator[Hasher]:
    hasher = Hasher()
    yield hasher
    hasher.close()


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword", "123456789012345", "qwertyuiopasdfgh", "aaaaaaaaaaaaaaaa", "iloveyou12345678",
        "P@ssw0rd!P@ssw0rd!", "Ada Lovelace 1815", "AcmeCorporation1", "ada.lovelace@acme.example",
        "lovelacelovelace", "LOVELACE-acme-ada",
    ],
)  # fmt: skip
def test_common_ones_and_those_made_of_own_words_are_refused(password: str) -> None:
    assert is_easily_guessed(password, context_words(CONTEXT))


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "x7Gk9qLm2PzR4tVw",
        "my acme mug is chipped twice",
        "  leading spaces kept",
        "длинный пароль из слов",
    ],
)
def test_long_ones_of_ones_own_are_accepted_without_rules_of_composition(password: str) -> None:
    assert not is_easily_guessed(password, context_words(CONTEXT))


async def test_length_is_judged_first(hasher: Hasher) -> None:
    with pytest.raises(PasswordTooShort) as short:
        await hasher.check("password", 15, CONTEXT)
    assert "15" in short.value.detail
    with pytest.raises(PasswordTooCommon):
        await hasher.check("password", 8, CONTEXT)
    await hasher.check("x7Gk9qLm", 8, CONTEXT)


async def test_a_password_matches_its_own_hash_and_nothing_matches_none(hasher: Hasher) -> None:
    kept = await hasher.hash("correct horse")
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.hash("correct horse") != kept
    assert await hasher.matches(kept, "correct horse")
    assert not await hasher.matches(kept, "correct horsE")
    assert not await hasher.matches(None, "correct horse")
    assert not await hasher.matches("no hash", "correct horse")


async def test_a_weaker_hash_is_known_as_outdated(hasher: Hasher) -> None:
    assert not hasher.is_outdated(await hasher.hash("correct horse"))
    assert hasher.is_outdated(PasswordHasher(time_cost=1, memory_cost=8_192).hash("correct horse"))


async def test_who_waits_too_long_for_a_turn_is_told_to_come_again(
    hasher: Hasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.identity.credentials.passwords.TURN_SECONDS", 0.01)
    async with asyncio.TaskGroup() as tasks:
        release = asyncio.Event()

        async def hold() -> None:
            async with hasher.turn():
                await release.wait()

        holders = [tasks.create_task(hold()) for _ in range(hasher._turns._value)]
        while not hasher._turns.locked():
            await asyncio.sleep(0)
        with pytest.raises(Busy):
            async with hasher.turn():
                pass
        release.set()
        await asyncio.gather(*holders)
    async with hasher.turn():
        assert True
