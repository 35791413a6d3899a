"""The page behind every problem's `type`: what a code means and what to do about it."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Problem:
    """One code that an answer of Muster may carry."""

    code: str
    status: int
    title: str
    meaning: str
    remedy: str


_ASK = "Ask someone who holds it; “who_can” names up to five, if you may read users."
_READ_AGAIN = "Read it again and decide anew."

_PROBLEMS = (
    # who are you
    Problem("unauthenticated", 401, "Not signed in",
            "The credential is missing, malformed, unknown, expired, or its session or key has ended.",
            "Sign in again and send the new token as “Authorization: Bearer …”."),
    Problem("sign_in_refused", 401, "Sign-in refused",
            "Organization, login and password do not belong together, the account cannot sign in, or it is "
            "being delayed after wrong passwords. The answer is the same in each case.",
            "Check what you typed; after several wrong tries wait some minutes, or ask for a reset by mail."),
    Problem("code_refused", 401, "Code refused",
            "The code is wrong, was used already, or the account is being delayed after wrong codes.",
            "Wait for the next code of your app and check your device's clock, or use a recovery code."),
    Problem("second_factor_required", 401, "Second factor required",
            "The password was right; the sign-in is complete only with the second factor.",
            "Send the code to POST /v1/sign-in/otp with this token."),
    Problem("enrollment_required", 401, "Enrollment required",
            "The organization enforces a second factor and this account has none yet.",
            "Enroll one with POST /v1/me/factors and activate it; nothing else is open until then."),
    # may you
    Problem("permission_missing", 403, "Permission missing",
            "Your role does not hold the permission that “missing_permission” names.", _ASK),
    Problem("person_required", 403, "A person is required",
            "This can be done by a signed-in person only, not with an API key.",
            "Sign in as a person who holds the permission."),
    Problem("permission_not_held", 403, "Permission not held",
            "Nobody gives away a permission that they do not hold themselves.", _ASK),
    Problem("owner_protected", 403, "Owner protected",
            "Only an Owner acts on an Owner, and only an Owner grants or takes away Owner.",
            "Ask an Owner of your organization."),
    Problem("target_outranks", 403, "Target outranks you",
            "This person holds permissions that you do not hold.",
            "Ask someone who holds at least their permissions."),
    Problem("self_action", 403, "Not on yourself",
            "Nobody deactivates, deletes or demotes themself, nor resets their own second factor here.",
            "Ask another administrator; your own factors are under /v1/me."),
    Problem("confirmation_required", 403, "Confirmation required",
            "This act needs a session that was confirmed within the last 10 minutes.",
            "Confirm with POST /v1/me/confirm, then repeat the call."),
    Problem("confirmation_refused", 403, "Confirmation refused",
            "Password or code was wrong, or the account is being delayed after wrong tries.",
            "Try again; who has an active factor confirms with its code, others with the password."),
    Problem("forbidden", 403, "Forbidden", "A rule forbids this; “rule” names it.", _ASK),
    # is it well formed
    Problem("invalid_request", 400, "Invalid request",
            "The request is malformed: bad JSON, an unknown or wrong field, a wrong value.",
            "“errors” points to each field; correct it and send again."),
    Problem("unknown_parameter", 400, "Unknown parameter",
            "The route has no query parameter of this name.", "The detail names the nearest known one."),
    Problem("cursor_mismatch", 400, "Cursor mismatch",
            "A cursor belongs to the filters and the sort order that it was made with.",
            "Send the same filters, or begin without a cursor."),
    Problem("link_invalid", 400, "Link invalid",
            "The link is unknown, expired, used, or was replaced by a newer one.",
            "Ask for a new one; the newest mail counts."),
    Problem("not_found", 404, "Not found",
            "There is no such thing, or none that your organization knows.", "Check the id and the path."),
    Problem("method_not_allowed", 405, "Method not allowed",
            "The path exists and does not know this method.", "The header “Allow” lists those it knows."),
    Problem("too_large", 413, "Too large", "The body holds more than 1 MiB.", "Send it in smaller parts."),
    Problem("confirmation_mismatch", 422, "Confirmation mismatch",
            "“confirm” is not the e-mail address of the person to be deleted.",
            "Type the address as it stands in the table."),
    Problem("idempotency_key_reused", 422, "Idempotency key reused",
            "This key was sent before with another body.", "Make a new key for every new command."),
    Problem("password_too_short", 422, "Password too short",
            "The password has fewer characters than the organization asks for.", "Choose a longer one."),
    Problem("password_too_common", 422, "Password too common",
            "The password is among those that attackers try first.", "Choose another one."),
    Problem("unprocessable", 422, "Cannot be followed",
            "The request is well formed and cannot be followed.", "The detail says why."),
    # does the state of things allow it
    Problem("last_administrator", 409, "Last administrator",
            "You cannot delete the last administrator in an organization, nor take their rights away.",
            "Make someone else an administrator first."),
    Problem("last_owner", 409, "Last Owner",
            "Afterwards no Owner of the organization could sign in.", "Make someone else an Owner first."),
    Problem("email_taken", 409, "E-mail taken",
            "Someone in your organization signs in with this address.",
            "Use another address, or edit that person."),
    Problem("username_taken", 409, "Username taken",
            "Someone in your organization signs in with this name.", "Choose another one."),
    Problem("name_taken", 409, "Name taken", "There is one of this name already.", "Choose another name."),
    Problem("slug_taken", 409, "Slug taken", "There is an organization of this slug.", "Choose another slug."),
    Problem("method_unavailable", 409, "Method not available",
            "Codes by text message are not offered here.", "Use an app that shows codes."),
    Problem("user_active", 409, "User is active", "The person is active already.", "There is nothing to do."),
    Problem("user_inactive", 409, "User is inactive", "The person is deactivated.", "Reactivate them first."),
    Problem("user_invited", 409, "User is invited",
            "The person has not accepted the invitation yet.", "Send the invitation again."),
    Problem("mfa_not_enabled", 409, "MFA not enabled",
            "The person has neither an active factor nor unused recovery codes.",
            "There is nothing to reset."),
    Problem("role_in_use", 409, "Role in use",
            "People hold this role.", "Give them another role first."),
    Problem("builtin_role_fixed", 409, "Built-in role",
            "Owner, Admin and Member are not renamed, changed or removed.", "Make a role of your own."),
    Problem("would_lock_you_out", 409, "Would lock you out",
            "With this setting you could not make your next call.", "Change it so that it lets you in."),
    Problem("conflict", 409, "Conflict", "The state of things does not allow this.", _READ_AGAIN),
    Problem("version_conflict", 412, "Changed meanwhile",
            "Someone changed it since you read the version that you sent as “If-Match”.",
            "“changes” says what and who; " + _READ_AGAIN.lower()),
    # not now
    Problem("rate_limited", 429, "Too many requests",
            "This credential or address has made too many calls, or too many failed ones.",
            "Wait as many seconds as “Retry-After” says; “RateLimit” shows what is left."),
    Problem("busy", 503, "Busy", "Others are changing the same thing; nothing was done.",
            "Repeat the call after “Retry-After” seconds."),
    Problem("not_yet", 503, "Not yet",
            "What you ask for with “min_position” has not arrived here yet.",
            "Repeat the call after “Retry-After” seconds."),
    Problem("unavailable", 503, "Not available",
            "The service behind this call does not answer. Whether a command was followed is not known.",
            "Repeat the call after “Retry-After” seconds, a command with the same “Idempotency-Key”."),
    Problem("internal", 500, "Internal error",
            "Something went wrong on our side; it has been written down under the request id.",
            "Repeat the call; if it happens again, tell your operator the request id."),
)  # fmt: skip
_BY_CODE = {problem.code: problem for problem in _PROBLEMS}

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#1f2937}"
    "h1{font-size:1.5rem}code{background:#f3f4f6;padding:.1rem .3rem;border-radius:4px}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The Content-Security-Policy of a page: its own style sheet and nothing else."""


def find(code: str) -> Problem | None:
    """The problem of this code, None for a code that no answer carries."""
    return _BY_CODE.get(code)


def codes() -> frozenset[str]:
    """Every code that has a page."""
    return frozenset(_BY_CODE)


def page(problem: Problem) -> str:
    """The problem as HTML; it names nothing of the request that met it."""
    title, meaning, remedy = (escape(text) for text in (problem.title, problem.meaning, problem.remedy))
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title} · Muster</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n<h1>{title}</h1>\n<p><code>{problem.code}</code>, status {problem.status}</p>\n"
        f"<h2>What it means</h2>\n<p>{meaning}</p>\n<h2>What to do</h2>\n<p>{remedy}</p>\n</body>\n</html>\n"
    )
