from __future__ import annotations

import re
from pathlib import Path

import services
from services.gateway import problems
from services.kit.http import TITLES

CODE = re.compile(r"""^\s+code(?:: [\w\[\]]+)? = "([a-z_]+)"|problem\(\s*\d+,\s*"([a-z_]+)\"""", re.MULTILINE)
# Of api.md; whoever adds a code adds its page.
CONTRACT = {
    "unauthenticated", "second_factor_required", "enrollment_required", "permission_missing",
    "person_required", "invalid_request", "not_found", "owner_protected", "target_outranks",
    "permission_not_held", "last_administrator", "last_owner", "self_action", "confirmation_required",
    "confirmation_mismatch", "confirmation_refused", "link_invalid", "idempotency_key_reused",
    "password_too_short", "password_too_common", "busy", "not_yet", "unknown_parameter",
    "cursor_mismatch", "version_conflict", "sign_in_refused", "code_refused", "email_taken",
    "username_taken", "user_active", "user_inactive", "user_invited", "mfa_not_enabled", "role_in_use",
    "builtin_role_fixed", "name_taken", "would_lock_you_out", "rate_limited", "unavailable", "internal",
}  # fmt: skip


def test_every_code_of_the_contract_has_a_page() -> None:
    assert problems.codes() >= CONTRACT


def test_every_code_that_a_service_answers_has_a_page() -> None:
    root = Path(services.__file__).parent
    used = {
        found[1] or found[2]
        for path in root.rglob("*.py")
        for found in CODE.finditer(path.read_text("utf-8"))
    }
    assert "unauthenticated" in used
    assert used <= problems.codes()


def test_pages_say_what_is_meant_and_what_to_do() -> None:
    for code in problems.codes():
        found = problems.find(code)
        assert found is not None
        assert found.status in TITLES
        assert found.meaning.endswith(".")
        assert found.remedy.endswith(".")
        assert f"<h1>{found.title}</h1>" in problems.page(found)
