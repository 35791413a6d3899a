"""Ids sort by time, differ, and look as api.md §1 says; noise is handed out once."""

from __future__ import annotations

import os
import time

import pytest

from services.kit.ids import is_id, looks_like_id, new_id
from services.kit.noise import SIZE, noise

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"


def number_of(id_: str) -> int:
    value = 0
    for character in id_.partition("_")[2]:
        value = value * 32 + CROCKFORD.index(character)
    return value


@pytest.mark.parametrize("moment", [0, 1, 1_764_000_000_123, 2**48 - 1])
def test_an_id_holds_a_uuid_of_version_7_with_its_millisecond(moment: int) -> None:
    made = number_of(new_id("usr", moment))

    assert made < 2**128
    assert made >> 80 == moment
    assert (made >> 76) & 0xF == 7
    assert (made >> 62) & 0b11 == 0b10


def test_an_id_has_the_form_that_is_recognized() -> None:
    assert is_id(new_id("usr"), "usr")
    assert not is_id(new_id("usr"), "ses")
    assert not is_id("usr_" + "i" * 26, "usr")
    assert looks_like_id(new_id("aud"))
    assert not looks_like_id(new_id("aud")[:-1])


def test_without_a_time_it_is_now() -> None:
    before = time.time_ns() // 1_000_000
    made = number_of(new_id("evt")) >> 80

    assert before <= made <= time.time_ns() // 1_000_000


def test_many_ids_of_one_millisecond_differ() -> None:
    assert len({new_id("evt", 5) for _ in range(50_000)}) == 50_000


def test_noise_is_handed_out_once() -> None:
    drawn = [noise() for _ in range(10_000)]

    assert len(set(drawn)) == len(drawn)
    assert {len(piece) for piece in drawn} == {SIZE}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_process_draws_its_own_noise() -> None:
    noise()  # so that there is something to inherit
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, b"".join(noise() for _ in range(200)))
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 200 * SIZE)
    os.close(reading)
    os.close(writing)

    pieces = {theirs[at : at + SIZE] for at in range(0, len(theirs), SIZE)}
    assert len(pieces) == 200
    assert pieces.isdisjoint(noise() for _ in range(300))
