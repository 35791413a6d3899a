"""One-time codes: TOTP (RFC 6238) and recovery codes. Pure, apart from the random source for new ones."""

from __future__ import annotations

import base64
import hmac
import secrets
from datetime import datetime

from pyotp.totp import TOTP

from services.identity.access import keyed_hash

STEP_SECONDS = 30
SEED_BYTES = 20
"""160 bits, as RFC 4226 §4 recommends; 32 characters of base32 without padding."""
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_RECOVERY_LENGTH, _GROUP = 16, 4
_LOOKALIKES = str.maketrans({"o": "0", "i": "1", "l": "1", "-": None, " ": None})


def new_seed() -> str:
    """A secret for an authenticator app, in base32."""
    return base64.b32encode(secrets.token_bytes(SEED_BYTES)).decode()


def otpauth_uri(seed: str, account: str, issuer: str) -> str:
    """What the QR code holds."""
    return TOTP(seed).provisioning_uri(name=account, issuer_name=issuer)


def accepted_step(seed: str, code: str, now: datetime, last_step: int) -> int | None:
    """The time step of this code, if it is one step around `now` at most and later than the last accepted one.

    Args:
        seed: base32.
        code: as typed; spaces are passed over.
        now: the database's time.
        last_step: of the code that was accepted last; neither it nor one before it counts again.
    """
    typed = "".join(code.split()).encode()
    totp, current = TOTP(seed), int(now.timestamp()) // STEP_SECONDS
    steps = (current - 1, current, current + 1)
    matching = [step for step in steps if hmac.compare_digest(totp.generate_otp(step).encode(), typed)]
    return next((step for step in matching if step > last_step), None)


def new_recovery_codes(count: int) -> list[str]:
    """Codes of 80 random bits, as `xxxx-xxxx-xxxx-xxxx`."""
    return [_recovery_code() for _ in range(count)]


def _recovery_code() -> str:
    text = "".join(secrets.choice(_ALPHABET) for _ in range(_RECOVERY_LENGTH))
    return "-".join(text[n : n + _GROUP] for n in range(0, _RECOVERY_LENGTH, _GROUP))


def recovery_hash(key: bytes, user: str, code: str) -> bytes:
    """What is kept of a recovery code; case, dashes and look-alikes of how it was typed do not matter."""
    return keyed_hash(key, f"recovery:{user}:{code.strip().lower().translate(_LOOKALIKES)}")
