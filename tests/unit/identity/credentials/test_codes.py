"""One-time codes: which ones count, and when."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from pyotp.totp import TOTP

from services.identity.credentials import codes, factors

SEED = codes.new_seed()
STEP = 60_000_000
NOW = datetime.fromtimestamp(STEP * 30 + 7, UTC)


@pytest.mark.parametrize(("offset", "counts"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_t42_a_code_counts_one_step_around_now_and_no_longer(offset: int, *, counts: bool) -> None:
    code = TOTP(SEED).generate_otp(STEP + offset)
    assert codes.accepted_step(SEED, code, NOW, 0) == (STEP + offset if counts else None)


def test_t41_a_step_that_was_accepted_counts_no_more_and_none_before_it() -> None:
    before, now, after = (TOTP(SEED).generate_otp(STEP + n) for n in (-1, 0, 1))
    assert codes.accepted_step(SEED, now, NOW, STEP) is None
    assert codes.accepted_step(SEED, before, NOW, STEP) is None
    assert codes.accepted_step(SEED, after, NOW, STEP) == STEP + 1


@pytest.mark.parametrize("code", ["", "abcdef", "12345", "1234567", "١٢٣٤٥٦", "\0"])
def test_what_is_no_code_counts_never(code: str) -> None:
    assert codes.accepted_step(SEED, code, NOW, 0) is None


def test_a_code_may_be_typed_with_spaces() -> None:
    code = TOTP(SEED).generate_otp(STEP)
    assert codes.accepted_step(SEED, f" {code[:3]} {code[3:]} ", NOW, 0) == STEP


def test_seeds_hold_160_bits_and_are_never_the_same() -> None:
    assert re.fullmatch("[A-Z2-7]{32}", SEED)
    assert codes.new_seed() != SEED
    later = NOW + timedelta(seconds=30)
    assert codes.accepted_step(SEED, TOTP(SEED).at(later), later, 0) == STEP + 1


def test_recovery_codes_are_ten_of_eighty_bits() -> None:
    made = codes.new_recovery_codes(10)
    assert len(set(made)) == 10
    assert all(re.fullmatch("([0-9a-hjkmnp-tv-z]{4}-){3}[0-9a-hjkmnp-tv-z]{4}", code) for code in made)


def test_a_recovery_code_is_recognized_however_it_is_typed_and_for_its_person_only() -> None:
    kept = codes.recovery_hash(b"key", "usr_1", "01ab-cdef-gh00-1111")
    for typed in ("01ABCDEFGH001111", " oiab cdef ghOo lLiI ", "01ab-cdef-gh00-1111"):
        assert codes.recovery_hash(b"key", "usr_1", typed) == kept
    assert codes.recovery_hash(b"key", "usr_2", "01ab-cdef-gh00-1111") != kept
    assert codes.recovery_hash(b"other", "usr_1", "01ab-cdef-gh00-1111") != kept


def test_a_qr_code_holds_the_longest_names_of_person_and_organization() -> None:
    face = "\N{GRINNING FACE}"
    uri = codes.otpauth_uri(SEED, face * factors.SHOWN, face * factors.SHOWN_ISSUER)
    assert factors.qr_svg(uri).startswith("<svg")
