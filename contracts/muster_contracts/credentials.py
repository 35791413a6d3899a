"""What happens to the proofs of a user: password, factors, recovery codes (stream `usr_`).

No event holds a hash, a seed, a code or a token; what is meant is named by id.
"""

from muster_contracts.events import Part, Personal, Time
from muster_contracts.users import UserEvent


class Factor(Part):
    """A second proof that was removed."""

    id: str
    type: str


class PasswordChanged(UserEvent):
    """By its owner; `kill` is null where no other session can have lived (first password)."""

    type = "password.changed"

    kill: str | None


class PasswordResetRequested(UserEvent):
    """A reset link was made. With `revoked` the old password no longer works and sessions have ended."""

    type = "password.reset_requested"

    link: str
    expires_at: Time
    by_admin: bool
    revoked: bool
    kill: str | None
    email: Personal[str]


class PasswordResetCompleted(UserEvent):
    type = "password.reset_completed"

    link: str
    kill: str


class MfaEnrolled(UserEvent):
    type = "mfa.enrolled"

    factor: str
    factor_type: str


class MfaFactorRemoved(UserEvent):
    type = "mfa.factor_removed"

    factor: str
    factor_type: str


class MfaReset(UserEvent):
    """All factors, recovery codes and begun enrollments are gone."""

    type = "mfa.reset"

    factors: tuple[Factor, ...]
    recovery_codes_deleted: int
    kill: str


class RecoveryCodesGenerated(UserEvent):
    type = "recovery_codes.generated"

    count: int


class RecoveryCodesUsed(UserEvent):
    type = "recovery_codes.used"

    remaining: int
