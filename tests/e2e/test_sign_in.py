"""Signing in and out: one answer for every refusal, half sessions that open one door, throttles that hold."""

from __future__ import annotations

import statistics
import time

import pytest

from tests.e2e.client import Client, problem, together
from tests.e2e.people import RUN, Org, Person, new_password

VOLATILE = {"date", "muster-position", "ratelimit", "traceparent", "tracestate"}
WRONG_CODES = 50
"""Wrong codes that a half session takes under `make up`: ten times the default."""
SAMPLES = 8


@pytest.fixture(scope="module")
def refusals(acme: Org) -> dict[str, dict[str, str]]:
    """A sign-in for each reason to refuse one."""
    active, inactive, invited = acme.join(), acme.join(), acme.invite()
    acme.owner.client.post(f"/v1/users/{inactive.id}/deactivate")
    given = {
        "unknown org": ("no-such-org", active.email, active.password),
        "unknown login": (acme.slug, "nobody@e2e.example", active.password),
        "unknown username": (acme.slug, "nobody", active.password),
        "invited": (acme.slug, invited["email"], new_password()),
        "inactive": (acme.slug, inactive.email, inactive.password),
        "wrong password": (acme.slug, active.email, new_password()),
    }
    return {
        why: {"organization": org, "login": login, "password": password}
        for why, (org, login, password) in given.items()
    }


def test_every_refused_sign_in_looks_the_same(anyone: Client, refusals: dict[str, dict[str, str]]) -> None:
    seen: dict[str, object] = {}
    for why, body in refusals.items():
        answer = anyone.send("POST", "/v1/sign-in", body)
        document = problem(answer, "sign_in_refused", 401)
        request = document.pop("request_id")
        headers = {
            name: value.replace(request, "…")
            for name, value in answer.headers.items()
            if name not in VOLATILE
        }
        seen[why] = (document, headers)
    for why, looks in seen.items():
        assert looks == seen["wrong password"], why


def test_every_refused_sign_in_takes_as_long(anyone: Client, refusals: dict[str, dict[str, str]]) -> None:
    took: dict[str, list[float]] = {why: [] for why in refusals}
    for _ in range(SAMPLES):
        for why, body in refusals.items():
            begun = time.perf_counter()
            anyone.send("POST", "/v1/sign-in", body)
            took[why].append(time.perf_counter() - begun)
    medians = {why: statistics.median(times) for why, times in took.items()}
    expected = medians.pop("wrong password")
    for why, median in medians.items():
        assert 0.5 < median / expected < 2, f"{why}: {median:.4f} s, a wrong password {expected:.4f} s"


@pytest.mark.parametrize("spell", [str.upper, str.title, lambda login: f" {login} ", str.lower])
def test_a_login_is_found_however_it_is_written(acme: Org, member: Person, spell) -> None:
    login = spell(member.email)
    answer = acme.try_sign_in(login, member.password)
    assert answer.status_code == 200 or login != login.strip(), answer.text


def test_a_sign_in_gives_a_new_session_each_time(acme: Org, member: Person) -> None:
    first = member.client.token
    second, answer = acme.sign_in(member.email, member.password)
    assert first != second.token
    assert answer["session"]["id"] != member.session["id"]
    member.client.get("/v1/me")


def test_signing_out_ends_this_session_only(acme: Org, member: Person) -> None:
    other, _ = acme.sign_in(member.email, member.password)
    member.client.post("/v1/sign-out", status=204)
    member.client.refused("GET", "/v1/me", code="unauthenticated", status=401)
    other.get("/v1/me")


def test_a_second_factor_is_asked_of_who_has_one(acme: Org, member: Person) -> None:
    member.enroll()
    assert member.app is not None
    half, answer = acme.sign_in(member.email, member.password)
    assert answer["next"] == "otp"
    full = half.post("/v1/sign-in/otp", {"code": member.app.code()})
    assert full["next"] == "done"
    assert full["token"] != half.token
    half.refused("POST", "/v1/sign-in/otp", {"code": member.app.code()}, code="unauthenticated", status=401)
    assert acme.anyone.with_token(full["token"]).get("/v1/me")["id"] == member.id


def test_half_a_session_opens_its_next_step_only(
    acme: Org, anyone: Client, owner: Person, strict_org: Org
) -> None:
    """T37, T39: forced browsing over all routes with half a session."""
    person = acme.join("admin").enroll()
    otp, _ = acme.sign_in(person.email, person.password)
    enroll, _ = strict_org.sign_in(*_newcomer(strict_org))
    document = anyone.http.get("/openapi.json").json()
    for half, code, opens in (
        (otp, "second_factor_required", ("/v1/sign-in/otp",)),
        (enroll, "enrollment_required", ("/v1/me/factors", "/v1/me/factors/{}/activate")),
    ):
        for path, methods in document["paths"].items():
            url = _filled(path)
            if path in PUBLIC or (_bare(path) in opens) or not path.startswith("/v1"):
                continue
            for method in methods.keys() & {"get", "post", "patch", "delete"}:
                half.refused(method.upper(), url, {} if method != "get" else None, code=code, status=401)
        introspected = owner.client.call("POST", "/v1/introspect", form={"token": half.token or ""})
        assert introspected == {"active": False}


PUBLIC = {
    *("/v1/sign-in", "/v1/password-resets", "/v1/password-resets/complete", "/v1/invitations/accept"),
}


def test_an_otp_without_half_a_session_is_not_evaluated(anyone: Client, member: Person) -> None:
    anyone.refused("POST", "/v1/sign-in/otp", {"code": "123456"}, code="unauthenticated", status=401)
    answer = member.client.send("POST", "/v1/sign-in/otp", {"code": "123456"})
    assert answer.status_code in (400, 401, 403, 409), answer.text


def test_wrong_codes_end_half_a_session(acme: Org, member: Person) -> None:
    member.enroll()
    assert member.app is not None
    half, _ = acme.sign_in(member.email, member.password)
    tries = [
        lambda n=n: half.send("POST", "/v1/sign-in/otp", {"code": f"{n:06d}"}) for n in range(WRONG_CODES)
    ]
    assert {
        answer.status_code
        for batch in range(0, WRONG_CODES, 10)
        for answer in together(*tries[batch : batch + 10])
    } == {401}
    answer = half.send("POST", "/v1/sign-in/otp", {"code": member.app.code()})
    assert answer.status_code == 401, answer.text
    again, _ = acme.sign_in(member.email, member.password)
    assert again.post("/v1/sign-in/otp", {"recovery_code": member.recovery_codes[0]})["next"] == "done"


def test_a_guessed_account_is_delayed_and_others_are_not(acme: Org, member: Person) -> None:
    """After 5 wrong passwords (times ten here) even the right one looks wrong for a while."""
    bystander = acme.join()
    wrong = [lambda: acme.try_sign_in(member.email, "wrong" * 4)] * 10
    for _ in range(6):
        assert {answer.status_code for answer in together(*wrong)} == {401}
    problem(acme.try_sign_in(member.email, member.password), "sign_in_refused", 401)
    member.client.get("/v1/me")  # who is in stays in
    acme.enter(bystander)


def test_a_guessed_account_is_delayed_under_every_spelling(acme: Org) -> None:
    """T46: aliases do not dodge the counter."""
    username = f"alias.{RUN}"
    person = acme.join(username=username)
    spellings = [person.email, person.email.upper(), username, username.upper(), username.title()]
    for _ in range(11):
        assert {
            a.status_code
            for a in together(*[lambda s=s: acme.try_sign_in(s, "wrong" * 4) for s in spellings])
        } == {401}
    for spelling in spellings:
        problem(acme.try_sign_in(spelling, person.password), "sign_in_refused", 401)


def test_sixteen_sign_ins_at_once_all_succeed(acme: Org, member: Person) -> None:
    answers = together(*[lambda: acme.try_sign_in(member.email, member.password)] * 16)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["token"] for answer in answers}) == 16


def test_a_credential_in_the_wrong_place_opens_nothing(acme: Org, anyone: Client, owner: Person) -> None:
    token = owner.client.token or ""
    for answer in (
        anyone.http.get("/v1/me", params={"access_token": token}),
        anyone.http.get("/v1/me", headers={"Authorization": token}),
        anyone.http.get("/v1/me", headers={"Authorization": f"Basic {token}"}),
        anyone.http.get("/v1/me", headers={"Cookie": f"session={token}"}),
    ):
        assert answer.status_code in (400, 401), answer.text


@pytest.mark.parametrize(
    "body",
    [
        *(
            {},
            {"organization": "acme", "login": "x"},
            {"organization": "acme", "login": ["x"], "password": "y"},
        ),
        *(
            {"organization": None, "login": None, "password": None},
            {"organization": "a\x00", "login": "x", "password": "y"},
        ),
        {"organization": "acme", "login": "x" * 100_000, "password": "y"},
    ],
)
def test_a_sign_in_that_is_none_is_never_a_5xx(anyone: Client, body: dict[str, object]) -> None:
    assert anyone.send("POST", "/v1/sign-in", body).status_code in (400, 401, 413)


def _newcomer(org: Org) -> tuple[str, str]:
    person = org.accept(org.invite())
    return person.email, person.password


def _bare(path: str) -> str:
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def _filled(path: str) -> str:
    return "/".join("usr_" + "0" * 26 if part.startswith("{") else part for part in path.split("/"))
