"""Deactivation is in force when the call has answered, on every path, and reactivation revives nothing."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import pytest

from tests.e2e.acts import check_change, types
from tests.e2e.client import Client, together, wait_until
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import Org, Person, new_password

ROUNDS = 30
HAMMERING, RACING = 3, 2


@pytest.mark.parametrize("how", ["deactivate", "patch", "delete"])
def test_keys_and_links_are_dead_once_the_call_has_answered(
    acme: Org, owner: Person, mailbox: Mailbox, how: str
) -> None:
    target = acme.join("admin")
    made = target.client.post("/v1/api-keys", {"name": "mine", "permissions": ["users.read"]}, status=201)
    key = acme.anyone.with_token(made["token"])
    key.get("/v1/users", limit=1)
    acme.anyone.post("/v1/password-resets", {"organization": acme.slug, "email": target.email}, status=202)
    token = mailbox.token(target.email, "reset-password")
    effects = _end(owner.client, how, target)
    assert effects["links_voided"] == 1
    key_is_personal = effects["api_keys_revoked"] == 1
    for session in (target.client, *([key] if key_is_personal else [])):
        session.refused("GET", "/v1/me", code="unauthenticated", status=401)
    done = {"token": token, "password": new_password()}
    acme.anyone.refused("POST", "/v1/password-resets/complete", done, code="link_invalid", status=400)
    if how != "delete":
        owner.client.post(f"/v1/users/{target.id}/reactivate")
        target.client.refused("GET", "/v1/me", code="unauthenticated", status=401)
        acme.anyone.refused("POST", "/v1/password-resets/complete", done, code="link_invalid", status=400)
        if key_is_personal:
            key.refused("GET", "/v1/users", code="unauthenticated", status=401)
        assert owner.client.get(f"/v1/users/{target.id}/sessions")["data"] == []
        acme.enter(target)


def test_an_inactive_user_is_refused_at_every_entry(acme: Org, owner: Person, mailbox: Mailbox) -> None:
    target = acme.join().enroll()
    assert target.app is not None
    half, answer = acme.sign_in(target.email, target.password)
    assert answer["next"] == "otp"
    owner.client.post(f"/v1/users/{target.id}/deactivate")
    half.refused("POST", "/v1/sign-in/otp", {"code": target.app.code()}, code="unauthenticated", status=401)
    assert acme.try_sign_in(target.email, target.password).status_code == 401
    owner.client.refused("POST", f"/v1/users/{target.id}/reset-password", code="user_inactive", status=409)
    before = len(mailbox.of(target.email))
    acme.anyone.post("/v1/password-resets", {"organization": acme.slug, "email": target.email}, status=202)
    owner.client.post(f"/v1/users/{target.id}/reactivate")
    shown = acme.user(target.id)
    assert (shown["status"], shown["mfa"]["status"]) == ("active", "enabled")  # as before
    assert acme.sign_in(target.email, target.password)[1]["next"] == "otp"
    assert not [m for m in mailbox.of(target.email)[:-before] if "/reset-password#" in m["text"]]


def test_an_invitation_is_void_after_a_deactivation_and_a_new_one_comes_with_reactivation(
    acme: Org, owner: Person, mailbox: Mailbox
) -> None:
    user = acme.invite()
    old = mailbox.token(user["email"], "invitation")
    change = owner.client.post(f"/v1/users/{user['id']}/deactivate")
    check_change(change, "user.deactivated", "invitation.voided")
    assert change["user"]["status"] == "inactive"
    given = {"token": old, "password": new_password()}
    acme.anyone.refused("POST", "/v1/invitations/accept", given, code="link_invalid", status=400)
    owner.client.refused(
        "POST", f"/v1/users/{user['id']}/resend-invitation", code="user_inactive", status=409
    )
    again = owner.client.post(f"/v1/users/{user['id']}/reactivate")
    check_change(again, "user.reactivated", "invitation.sent")
    assert again["user"]["status"] == "invited"
    acme.anyone.refused("POST", "/v1/invitations/accept", given, code="link_invalid", status=400)
    assert (
        old not in mailbox.wait(user["email"], link="invitation")["text"]
        or len(mailbox.of(user["email"])) < 2
    )


def test_an_open_invitation_is_sent_again_as_the_same_link(
    acme: Org, owner: Person, mailbox: Mailbox
) -> None:
    user = acme.invite()
    first = mailbox.token(user["email"], "invitation")
    owner.client.post(f"/v1/users/{user['id']}/resend-invitation")
    wait_until(lambda: len(mailbox.of(user["email"])) > 1, "a second mail")
    assert mailbox.token(user["email"], "invitation") == first
    person = acme.accept(user)
    owner.client.refused("POST", f"/v1/users/{person.id}/resend-invitation", code="user_active", status=409)


@dataclass
class Round:
    """What hammering callers and racing sign-ins saw while someone was being deactivated."""

    acme: Org
    target: Person

    def __post_init__(self) -> None:
        self.answered = threading.Event()
        self.accepted_after: list[str] = []
        self.tokens: list[str] = []

    def hammer(self) -> None:
        for _ in range(200):
            begun_after = self.answered.is_set()
            status = self.target.client.send("GET", "/v1/me").status_code
            if begun_after:
                if status != 401:
                    self.accepted_after.append(f"GET /v1/me: {status}")
                return

    def sign_in(self) -> None:
        for _ in range(20):
            begun_after = self.answered.is_set()
            answer = self.acme.try_sign_in(self.target.email, self.target.password)
            if answer.status_code == 200:
                self.tokens.append(answer.json()["token"])
                if begun_after:
                    self.accepted_after.append("sign-in")
            if begun_after:
                return

    def deactivate(self) -> None:
        change = self.acme.owner.client.post(f"/v1/users/{self.target.id}/deactivate")
        self.answered.set()
        assert types(change)[0] == "user.deactivated"


def test_no_request_and_no_sign_in_slips_past_a_deactivation(acme: Org, owner: Person) -> None:
    target = acme.join()
    for number in range(ROUNDS):
        seen = Round(acme, target)
        together(*[seen.hammer] * HAMMERING, *[seen.sign_in] * RACING, seen.deactivate)
        assert seen.accepted_after == [], f"round {number}"
        for token in seen.tokens:  # whoever got in before is out now
            acme.anyone.with_token(token).refused("GET", "/v1/me", code="unauthenticated", status=401)
        assert owner.client.get(f"/v1/users/{target.id}/sessions")["data"] == []
        owner.client.post(f"/v1/users/{target.id}/reactivate")
        for token in seen.tokens:
            acme.anyone.with_token(token).refused("GET", "/v1/me", code="unauthenticated", status=401)
        acme.enter(target)


def test_an_admin_whose_right_is_taken_away_commits_nothing_after(acme: Org, owner: Person) -> None:
    for _ in range(5):
        admin, target = acme.join("admin"), acme.join()

        def rename(admin: Person = admin, target: Person = target) -> list[int]:
            path = f"/v1/users/{target.id}"
            return [admin.client.send("PATCH", path, {"name": f"Name {n}"}).status_code for n in range(15)]

        def demote(admin: Person = admin) -> list[int]:
            return [owner.client.send("PATCH", f"/v1/users/{admin.id}", {"role": "member"}).status_code]

        statuses, _demoted = together(rename, demote)
        assert statuses == sorted(statuses), statuses  # 200 … 200 403 … 403, never 200 after 403
        assert admin.client.send("PATCH", f"/v1/users/{target.id}", {"name": "Late"}).status_code == 403
        timeline = owner.client.get(f"/v1/users/{admin.id}/timeline")["data"]
        acts = [row["type"] for row in timeline]
        assert acts.index("user.role_changed") < min(
            (n for n, act in enumerate(acts) if act == "user.renamed"), default=len(acts)
        )


def _end(client: Client, how: str, target: Person) -> dict[str, int]:
    path = f"/v1/users/{target.id}"
    if how == "deactivate":
        return client.post(f"{path}/deactivate")["effects"]
    if how == "patch":
        return client.patch(path, {"active": False})["effects"]
    return client.delete(path, {"confirm": target.email})["effects"]
