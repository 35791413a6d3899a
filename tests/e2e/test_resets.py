"""A password reset by mail: asked by anyone, told to nobody but the mailbox, used once."""

from __future__ import annotations

import pytest

from tests.e2e.client import Client, Json, problem, together, wait_until
from tests.e2e.mailbox import LINK, Mailbox
from tests.e2e.people import Org, Person, new_password
from tests.e2e.place import Place

PATH, COMPLETE = "/v1/password-resets", "/v1/password-resets/complete"
VOLATILE = {"date", "muster-position", "ratelimit"}


def ask(acme: Org, email: str, **more: object) -> None:
    acme.anyone.post(PATH, {"organization": acme.slug, "email": email}, status=202, **more)


def links(mailbox: Mailbox, email: str) -> list[str]:
    found = [LINK.search(mail["text"]) for mail in mailbox.of(email) if "/reset-password#" in mail["text"]]
    return [match[2] for match in found if match]


def test_a_reset_by_mail_ends_all_sessions_and_signs_nobody_in(
    acme: Org, member: Person, mailbox: Mailbox
) -> None:
    ask(acme, member.email)
    member.client.get("/v1/me")  # asking alone changes nothing
    token, member.password = mailbox.token(member.email, "reset-password"), new_password()
    answer = acme.anyone.send("POST", COMPLETE, {"token": token, "password": member.password})
    assert (answer.status_code, answer.content) == (204, b"")
    assert "set-cookie" not in answer.headers
    member.client.refused("GET", "/v1/me", code="unauthenticated", status=401)
    acme.enter(member)
    mailbox.wait(member.email, about="password was changed")


def test_a_reset_by_mail_never_weakens_mfa(acme: Org, member: Person, mailbox: Mailbox) -> None:
    """T50: the mailbox alone does not get past the second factor."""
    member.enroll()
    ask(acme, member.email)
    token, member.password = mailbox.token(member.email, "reset-password"), new_password()
    acme.anyone.post(COMPLETE, {"token": token, "password": member.password}, status=204)
    assert acme.sign_in(member.email, member.password)[1]["next"] == "otp"
    assert acme.user(member.id)["mfa"]["status"] == "enabled"


def test_whoever_asks_learns_nothing(acme: Org, owner: Person, mailbox: Mailbox) -> None:
    active, inactive, invited = acme.join(), acme.join(), acme.invite()
    owner.client.post(f"/v1/users/{inactive.id}/deactivate")
    seen: list[object] = []
    for org, email in (
        (acme.slug, active.email),
        (acme.slug, inactive.email),
        (acme.slug, invited["email"]),
        (acme.slug, "nobody@e2e.example"),
        ("no-such-org", active.email),
    ):
        answer = acme.anyone.send("POST", PATH, {"organization": org, "email": email})
        headers = {
            name: value
            for name, value in answer.headers.items()
            if name not in VOLATILE and "req_" not in value
        }
        seen.append((answer.status_code, answer.content, headers))
    assert all(each == seen[0] for each in seen), seen
    mailbox.wait(active.email, link="reset-password")
    assert not links(mailbox, inactive.email)
    assert not links(mailbox, invited["email"])


def test_a_repeat_mails_the_same_link_and_an_administrators_reset_voids_it(
    acme: Org, owner: Person, member: Person, mailbox: Mailbox
) -> None:
    ask(acme, member.email)
    first = mailbox.token(member.email, "reset-password")
    ask(acme, member.email)
    wait_until(lambda: len(links(mailbox, member.email)) == 2, "the second mail")
    assert set(links(mailbox, member.email)) == {first}
    owner.client.post(f"/v1/users/{member.id}/reset-password")
    wait_until(lambda: len(links(mailbox, member.email)) == 3, "the administrator's mail")
    newest = links(mailbox, member.email)[0]
    assert newest != first
    given = {"token": first, "password": new_password()}
    acme.anyone.refused("POST", COMPLETE, given, code="link_invalid", status=400)
    acme.anyone.post(COMPLETE, given | {"token": newest}, status=204)


def test_every_link_that_does_not_work_gets_the_same_answer(
    acme: Org, owner: Person, member: Person, mailbox: Mailbox
) -> None:
    """T58: null, empty, short, truncated, used, invented, another kind."""
    ask(acme, member.email)
    used = mailbox.token(member.email, "reset-password")
    acme.anyone.post(COMPLETE, {"token": used, "password": new_password()}, status=204)
    invitation = mailbox.token(acme.invite()["email"], "invitation")
    seen: list[Json] = []
    for token in (used, used[:-1], used + "a", "mur_" + "a" * 49, "", "x", invitation, used.swapcase()):
        answer = acme.anyone.send("POST", COMPLETE, {"token": token, "password": new_password()})
        document = problem(answer, "link_invalid", 400)
        document.pop("request_id")
        seen.append(document)
    assert all(document == seen[0] for document in seen)
    for token in (None, [used], {"a": 1}, 5):
        answer = acme.anyone.send("POST", COMPLETE, {"token": token, "password": new_password()})
        assert answer.status_code == 400


def test_a_bad_password_leaves_the_link_open(acme: Org, member: Person, mailbox: Mailbox) -> None:
    ask(acme, member.email)
    token = mailbox.token(member.email, "reset-password")
    given = {"token": token, "password": "too short"}
    acme.anyone.refused("POST", COMPLETE, given, code="password_too_short", status=422)
    given["password"] = "passwordpassword"
    acme.anyone.refused("POST", COMPLETE, given, code="password_too_common", status=422)
    acme.anyone.refused("POST", COMPLETE, given | {"token": "x"}, code="link_invalid", status=400)
    acme.anyone.post(COMPLETE, {"token": token, "password": new_password()}, status=204)


def test_one_link_works_once_under_parallel_use(acme: Org, member: Person, mailbox: Mailbox) -> None:
    ask(acme, member.email)
    token = mailbox.token(member.email, "reset-password")
    passwords = [new_password() for _ in range(10)]
    answers = together(
        *[lambda p=p: acme.anyone.send("POST", COMPLETE, {"token": token, "password": p}) for p in passwords]
    )
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [204] + [400] * 9
    member.password = passwords[statuses.index(204)]
    acme.enter(member)


def test_looking_at_a_link_does_not_use_it(acme: Org, member: Person, mailbox: Mailbox) -> None:
    """T60: mail scanners follow links with GET and HEAD."""
    ask(acme, member.email)
    token = mailbox.token(member.email, "reset-password")
    for method in ("GET", "HEAD", "OPTIONS"):
        acme.anyone.http.request(method, COMPLETE, params={"token": token})
    acme.anyone.post(COMPLETE, {"token": token, "password": new_password()}, status=204)


def test_a_forged_host_does_not_change_the_link(
    acme: Org, member: Person, mailbox: Mailbox, place: Place
) -> None:
    """T53: the origin of a link comes from the settings only."""
    forged = {
        "X-Forwarded-Host": "evil.example",
        "Forwarded": "host=evil.example",
        "Origin": "https://evil.example",
    }
    ask(acme, member.email, headers=forged)
    mail = mailbox.wait(member.email, link="reset-password")
    found = LINK.search(mail["text"])
    assert found
    assert found[1] == f"{place.read()['console']}/reset-password"
    assert "evil" not in mail["text"] + (mail["html"] or "")


@pytest.mark.parametrize(
    "email",
    [
        ["a@e2e.example", "b@e2e.example"],
        {"a": 1},
        None,
        5,
        "a@e2e.example\r\nBcc: x@evil.example",
        "a\x00@e2e.example",
    ],
)
def test_an_address_that_is_none_sends_no_mail(
    acme: Org, anyone: Client, mailbox: Mailbox, email: object
) -> None:
    """T55, T64."""
    before = len(mailbox.all())
    answer = anyone.send("POST", PATH, {"organization": acme.slug, "email": email})
    assert answer.status_code in (202, 400), answer.text
    assert not [mail for mail in mailbox.all() if "evil.example" in mail["to"]]
    assert before <= len(mailbox.all())


def test_names_with_markup_arrive_as_text_in_one_mail(acme: Org, mailbox: Mailbox) -> None:
    user = acme.invite(name='<b>Bob</b> "& Co <script>alert(1)</script>')
    mail = mailbox.wait(user["email"], link="invitation")
    assert "<script>" not in mail["html"]
    assert mail["to"] == user["email"]
    for bad in ("Line\r\nBcc: x@evil.example", "Nul\x00"):
        given = {"email": "inject@e2e.example", "name": bad}
        acme.owner.client.refused("POST", "/v1/users", given, code="invalid_request", status=400)
