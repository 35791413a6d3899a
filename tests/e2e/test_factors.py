"""One's own account: factors and codes that count once, confirmation, password, sessions, profile."""

from __future__ import annotations

from tests.e2e.client import codes_of, together, wait_until
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import Authenticator, Org, Person, new_password
from tests.e2e.tape import Tape

HALVES, TRIES = 10, 5


def test_a_recovery_code_counts_once_under_50_parallel_tries(acme: Org, member: Person) -> None:
    member.enroll()
    assert len(set(member.recovery_codes)) == 10
    _only_once(acme, member, {"recovery_code": member.recovery_codes[0]})
    half, _ = acme.sign_in(member.email, member.password)
    half.refused(
        "POST",
        "/v1/sign-in/otp",
        {"recovery_code": member.recovery_codes[0]},
        code="code_refused",
        status=401,
    )
    half.post("/v1/sign-in/otp", {"recovery_code": member.recovery_codes[1]})


def test_a_code_of_the_app_counts_once_under_50_parallel_tries(acme: Org, member: Person) -> None:
    member.enroll()
    assert member.app is not None
    _only_once(acme, member, {"code": member.app.code()})


def test_the_code_of_the_activation_does_not_count_again(acme: Org, member: Person) -> None:
    factor = member.client.post("/v1/me/factors", {"type": "totp"})
    code = Authenticator(factor["secret"]).code()
    member.client.post(f"/v1/me/factors/{factor['id']}/activate", {"code": code})
    half, _ = acme.sign_in(member.email, member.password)
    half.refused("POST", "/v1/sign-in/otp", {"code": code}, code="code_refused", status=401)
    member.client.refused("POST", "/v1/me/confirm", {"code": code}, code="confirmation_refused", status=403)


def test_a_factor_is_not_active_before_its_first_code(acme: Org, member: Person) -> None:
    factor = member.client.post("/v1/me/factors", {"type": "totp"})
    right = Authenticator(factor["secret"]).code()
    wrong = f"{(int(right) + 1) % 1_000_000:06d}"
    answer = member.client.send("POST", f"/v1/me/factors/{factor['id']}/activate", {"code": wrong})
    assert answer.status_code in (400, 401, 403, 409), answer.text
    assert acme.sign_in(member.email, member.password)[1]["next"] == "done"


def test_a_factor_of_somebody_else_cannot_be_activated(acme: Org, member: Person) -> None:
    other = acme.join()
    factor = other.client.post("/v1/me/factors", {"type": "totp"})
    code = Authenticator(factor["secret"]).code()
    path = f"/v1/me/factors/{factor['id']}/activate"
    member.client.refused("POST", path, {"code": code}, code="not_found", status=404)
    other.client.post(path, {"code": code})


def test_enrolling_is_on_kafka_without_its_secret(acme: Org, member: Person, tape: Tape) -> None:
    member.enroll()
    wait_until(
        lambda: (
            [r.type for r in tape.find(lambda r: r.subject == member.id, "muster.users")][-2:]
            == ["mfa.enrolled", "recovery_codes.generated"]
        ),
        "mfa.enrolled and recovery_codes.generated",
    )


def test_new_recovery_codes_replace_the_old_ones(acme: Org, member: Person) -> None:
    old = member.enroll().recovery_codes
    new = member.client.post("/v1/me/recovery-codes")["recovery_codes"]
    assert len(set(new)) == 10
    assert not set(new) & set(old)
    half, _ = acme.sign_in(member.email, member.password)
    half.refused("POST", "/v1/sign-in/otp", {"recovery_code": old[0]}, code="code_refused", status=401)
    half.post("/v1/sign-in/otp", {"recovery_code": new[0]})


def test_a_factor_is_removed_by_who_proved_an_existing_one(acme: Org, member: Person) -> None:
    earlier = member.client
    acme.enter(member).enroll()
    (factor,) = member.client.get("/v1/me")["mfa"]["factors"]
    earlier.refused("DELETE", f"/v1/me/factors/{factor['id']}", code="confirmation_required", status=403)
    member.client.delete(f"/v1/me/factors/{factor['id']}", status=204)
    assert acme.sign_in(member.email, member.password)[1]["next"] in ("done", "otp")


def test_a_password_only_sign_in_stops_counting_as_confirmed_once_a_factor_is_active(
    acme: Org, owner: Person
) -> None:
    boss, target = acme.join("admin"), acme.join()
    earlier = boss.client
    acme.enter(boss).enroll()
    assert boss.app is not None
    path = f"/v1/users/{target.id}"
    for method, url, body in (
        ("PATCH", path, {"role": "admin"}),
        ("POST", f"{path}/reset-password", None),
        ("DELETE", path, {"confirm": target.email}),
        ("POST", "/v1/api-keys", {"name": "k", "permissions": ["users.read"]}),
        ("PATCH", "/v1/organization", {"name": "Acme"}),
    ):
        earlier.refused(method, url, body, code="confirmation_required", status=403)
    earlier.patch(path, {"name": "No Confirmation Asked"})  # not marked °
    earlier.refused(
        "POST", "/v1/me/confirm", {"password": boss.password}, code="confirmation_refused", status=403
    )
    answer = earlier.send("POST", "/v1/me/confirm", {"recovery_code": boss.recovery_codes[0]})
    assert answer.status_code in (400, 403)
    earlier.post("/v1/me/confirm", {"code": boss.app.code()}, status=204)
    assert earlier.get("/v1/me")["session"]["confirmed_until"]
    earlier.post(f"{path}/reset-password")


def test_who_has_no_factor_confirms_with_the_password(acme: Org, member: Person) -> None:
    member.client.refused(
        "POST", "/v1/me/confirm", {"password": "x" * 20}, code="confirmation_refused", status=403
    )
    member.client.post("/v1/me/confirm", {"password": member.password}, status=204)


def test_a_changed_password_ends_all_other_sessions(acme: Org, member: Person, mailbox: Mailbox) -> None:
    others = [acme.sign_in(member.email, member.password)[0] for _ in range(2)]
    new = new_password()
    answer = member.client.send("POST", "/v1/me/password", {"current_password": "x" * 20, "password": new})
    assert answer.status_code == 403, answer.text
    member.client.post("/v1/me/password", {"current_password": member.password, "password": new}, status=204)
    member.client.get("/v1/me")
    for other in others:
        other.refused("GET", "/v1/me", code="unauthenticated", status=401)
    assert acme.try_sign_in(member.email, member.password).status_code == 401
    member.password = new
    acme.enter(member)
    mailbox.wait(member.email, about="password was changed")


def test_a_password_is_long_enough_not_common_and_not_ones_own_name(acme: Org, member: Person) -> None:
    def change(password: str, code: str) -> None:
        body = {"current_password": member.password, "password": password}
        member.client.refused("POST", "/v1/me/password", body, code=code, status=422)

    change("short-Pa55word"[:14], "password_too_short")
    change("passwordpassword", "password_too_common")
    change("aaaaaaaaaaaaaaaa", "password_too_common")
    long = new_password() * 15
    body = {"current_password": member.password, "password": long[:256]}
    member.client.post("/v1/me/password", body, status=204)
    assert acme.try_sign_in(member.email, long[:255]).status_code == 401  # nothing is cut off
    acme.sign_in(member.email, long[:256])


def test_ones_own_sessions_are_listed_and_ended(acme: Org, member: Person) -> None:
    other, answer = acme.sign_in(member.email, member.password)
    rows = member.client.get("/v1/me/sessions")["data"]
    assert {row["id"] for row in rows} == {member.session["id"], answer["session"]["id"]}
    for row in rows:
        expected = {"id", "created_at", "last_seen_at", "expires_at", "ip", "user_agent", "amr", "current"}
        assert row.keys() == expected
        assert row["current"] == (row["id"] == member.session["id"])
        assert row["ip"] == "127.0.0.1"
    member.client.delete(f"/v1/me/sessions/{answer['session']['id']}", status=204)
    other.refused("GET", "/v1/me", code="unauthenticated", status=401)
    foreign = acme.owner.session["id"]
    member.client.refused("DELETE", f"/v1/me/sessions/{foreign}", code="not_found", status=404)


def test_ones_own_name_phone_and_timezone(acme: Org, member: Person) -> None:
    given = {"name": "My Name", "phone": "+4930123456", "timezone": "Europe/Berlin"}
    assert member.client.patch("/v1/me", given) == member.client.get("/v1/me")
    shown = acme.user(member.id)
    assert {name: shown[name] for name in given} == given
    for field in ("role", "email", "labels", "active", "status"):
        member.client.refused("PATCH", "/v1/me", {field: "x"}, code="invalid_request", status=400)
    assert member.client.get("/v1/me").keys() >= {"permissions", "organization", "session", "email", "mfa"}


def _only_once(acme: Org, person: Person, proof: dict[str, str]) -> None:
    halves = [acme.sign_in(person.email, person.password)[0] for _ in range(HALVES)]
    answers = together(
        *[lambda half=half: half.send("POST", "/v1/sign-in/otp", proof) for half in halves * TRIES]
    )
    assert codes_of(answers).count("200") == 1, codes_of(answers)
    assert {answer.status_code for answer in answers} == {200, 401}
