"""The main job end to end: each act over HTTP, on Kafka in order, in the audit, and in the mail."""

from __future__ import annotations

import pytest

from tests.e2e.acts import check_audited, check_change, check_published, types
from tests.e2e.client import Client, Json, wait_until
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import RUN, Org, Person, new_password
from tests.e2e.place import Place
from tests.e2e.tape import DIRECTORY, KILLS, Record, Tape

SESSION_GONE = ["session.ended", "ip_rule.revoked"]


@pytest.mark.parametrize("who", ["owner", "admin", "member"])
def test_the_printed_sign_ins_work_and_hold_that_role(acme: Org, place: Place, who: str) -> None:
    printed = place.read()[who]
    assert len(printed["password"]) == 20
    client, answer = acme.sign_in(printed["email"], printed["password"])
    assert answer["next"] == "done"
    assert answer["token"].startswith("mus_")
    me = client.get("/v1/me")
    assert me["role"]["name"].lower() == who
    assert me["organization"]["slug"] == acme.slug
    assert me["mfa"]["status"] == "not_enabled"
    assert me["session"]["id"] == answer["session"]["id"]


def test_the_printed_api_key_opens_what_a_key_may_open(anyone: Client, place: Place) -> None:
    key = anyone.with_token(place.read()["api_key"])
    me = key.get("/v1/me")
    assert me["service"]["id"].startswith("svc_")
    never = {"roles.manage", "users.assign_role", "api_keys.manage", "organization.manage"}
    assert "users.read" in me["permissions"]
    assert not never & set(me["permissions"])
    assert key.get("/v1/users", limit=1)["data"]


def test_creating_someone_invites_them_and_their_mail_lets_them_in(
    acme: Org, owner: Person, mailbox: Mailbox, tape: Tape
) -> None:
    asked = {"email": f"New.{RUN}@e2e.example", "name": "New Person", "labels": ["contractor"]}
    change = owner.client.post("/v1/users", asked, status=201)
    effects = check_change(change, "user.created", "invitation.sent")
    assert effects["link_expires_at"]
    user = change["user"]
    assert (user["status"], user["role"]["name"], user["labels"]) == ("invited", "Member", ["contractor"])
    records = check_published(acme, change, owner)
    assert [record.key for record in records] == [user["id"]] * 2
    assert [record.subject for record in records] == [user["id"]] * 2
    check_audited(acme, change, owner, user)
    token = mailbox.token(user["email"], "invitation")
    accepted = acme.anyone.post(
        "/v1/invitations/accept", {"token": token, "password": new_password(), "name": "Newer Person"}
    )
    assert accepted["user"]["status"] == "active"
    assert "token" not in accepted
    wait_until(
        lambda: (
            [r.type for r in tape.find(lambda r: r.subject == user["id"], "muster.users")][2:]
            == ["invitation.accepted", "password.changed", "user.renamed"]
        ),
        "the events of an accepted invitation",
    )
    acme.anyone.refused(
        "POST",
        "/v1/invitations/accept",
        {"token": token, "password": new_password()},
        code="link_invalid",
        status=400,
    )


def test_an_edit_of_every_field_is_one_command_with_events_in_order(acme: Org, owner: Person) -> None:
    target = acme.join(labels=["old"])
    asked = {
        "name": "Edited Name",
        "username": f"edited.{target.id[-6:]}",
        "phone": "+4930123456",
        "timezone": "Europe/Berlin",
        "labels": ["new", "second"],
        "role": "admin",
        "active": False,
        "reason": "moved to another team",
    }
    change = owner.client.patch(f"/v1/users/{target.id}", asked)
    effects = check_change(
        change,
        *("user.renamed", "user.username_changed", "user.phone_changed", "user.timezone_changed"),
        *("user.labels_changed", "user.role_changed", "user.deactivated", *SESSION_GONE),
    )
    assert (effects["sessions_ended"], effects["ip_rules_revoked"]) == (1, 1)
    user = change["user"]
    assert (user["name"], user["username"], user["status"]) == (asked["name"], asked["username"], "inactive")
    assert user["role"]["name"] == "Admin"
    records = check_published(acme, change, owner)
    assert records[0].data["name"] == {"old": target.name, "new": "Edited Name"}
    assert records[0].data["reason"] == "moved to another team"
    assert all(record.data["user"] == target.id for record in records)
    first = check_audited(
        acme, change, owner, target.__dict__ | {"name": target.name}, "moved to another team"
    )
    assert first["changes"]["name"] == {"old": target.name, "new": "Edited Name"}


def test_an_edit_that_changes_nothing_makes_no_event(acme: Org, owner: Person, member: Person) -> None:
    change = owner.client.patch(
        f"/v1/users/{member.id}", {"name": member.name, "active": True, "role": "member"}
    )
    check_change(change)
    assert change["position"]


def test_deactivating_ends_everything_and_tells_everyone(acme: Org, owner: Person, tape: Tape) -> None:
    target = acme.join()
    second = acme.enter(Person(target.id, target.email, target.name, target.password, acme.anyone))
    change = owner.client.post(f"/v1/users/{target.id}/deactivate", {"reason": "left"})
    effects = check_change(change, "user.deactivated", *SESSION_GONE, *SESSION_GONE)
    assert effects["sessions_ended"] == effects["ip_rules_revoked"] == 2
    assert effects["kill"].startswith("kil_")
    assert change["user"]["status"] == "inactive"
    records = check_published(acme, change, owner)
    assert {record.subject for record in records[1:]} == {target.session["id"], second.session["id"]}
    assert all(record.key == target.id for record in records)
    assert effects["kill"] in records[0].data.values()
    check_audited(acme, change, owner, target.__dict__, "left")
    ordered = tape.wait(lambda r: r.data.get("kill") == effects["kill"], "the session kill", KILLS)
    assert ordered.type == "session_kill.ordered"
    assert ordered.key == ordered.data["user"] == target.id
    assert set(ordered.data["sessions"]) == {target.session["id"], second.session["id"]}
    assert ordered.data["deadline_at"]
    assert ordered.headers["ce_source"] == "/muster/notifier"
    assert (ordered.subject, ordered.sequence) == (effects["kill"], 1)
    assert "ce_position" not in ordered.headers
    kill = owner.client.get(f"/v1/session-kills/{effects['kill']}")
    assert (kill["kill"], kill["user"], kill["services"]) == (effects["kill"], target.id, [])
    assert kill["ordered_at"]


def test_deactivating_again_changes_nothing(acme: Org, owner: Person, member: Person) -> None:
    owner.client.post(f"/v1/users/{member.id}/deactivate")
    again = owner.client.post(f"/v1/users/{member.id}/deactivate")
    check_change(again)
    assert again["user"]["status"] == "inactive"


def test_reactivating_lets_them_sign_in_again(acme: Org, owner: Person, member: Person) -> None:
    owner.client.post(f"/v1/users/{member.id}/deactivate")
    change = owner.client.post(f"/v1/users/{member.id}/reactivate", {"reason": "back"})
    check_change(change, "user.reactivated")
    assert change["user"]["status"] == "active"
    check_published(acme, change, owner)
    check_audited(acme, change, owner, member.__dict__, "back")
    acme.enter(member)


def test_resetting_mfa_removes_it_in_one_event_and_the_user_is_told(
    acme: Org, owner: Person, member: Person, mailbox: Mailbox
) -> None:
    member.enroll()
    assert acme.user(member.id)["mfa"]["status"] == "enabled"
    change = owner.client.post(f"/v1/users/{member.id}/reset-mfa", {"reason": "lost phone"})
    effects = check_change(change, "mfa.reset", *SESSION_GONE)
    assert (effects["factors_removed"], effects["recovery_codes_deleted"]) == (1, 10)
    assert (effects["sessions_ended"], effects["ip_rules_revoked"]) == (1, 1)
    assert effects["kill"].startswith("kil_")
    assert change["user"]["mfa"] == {"status": "not_enabled", "factors": []}
    check_published(acme, change, owner)
    check_audited(acme, change, owner, member.__dict__, "lost phone")
    mail = mailbox.wait(member.email, about="authentication")
    assert mail["html"]
    assert mail["text"]
    assert member.client.send("GET", "/v1/me").status_code == 401
    acme.enter(member)


def test_resetting_a_password_mails_a_link_that_sets_a_new_one(
    acme: Org, owner: Person, member: Person, mailbox: Mailbox, tape: Tape
) -> None:
    change = owner.client.post(f"/v1/users/{member.id}/reset-password", {"reason": "phished"})
    effects = check_change(change, "password.reset_requested", *SESSION_GONE)
    assert effects["link_expires_at"]
    assert (effects["sessions_ended"], effects["ip_rules_revoked"]) == (1, 1)
    records = check_published(acme, change, owner)
    assert (records[0].data["by_admin"], records[0].data["revoked"]) == (True, True)
    check_audited(acme, change, owner, member.__dict__, "phished")
    assert acme.try_sign_in(member.email, member.password).status_code == 401
    token = mailbox.token(member.email, "reset-password")
    assert token not in str(change)
    member.password = new_password()
    done = {"token": token, "password": member.password}
    acme.anyone.post("/v1/password-resets/complete", done, status=204)
    tape.wait(
        lambda r: r.type == "password.reset_completed" and r.data["user"] == member.id,
        "password.reset_completed",
    )
    acme.enter(member)
    mailbox.wait(member.email, about="password was changed")
    acme.anyone.refused("POST", "/v1/password-resets/complete", done, code="link_invalid", status=400)


def test_a_password_reset_may_leave_password_and_sessions(acme: Org, owner: Person, member: Person) -> None:
    change = owner.client.post(f"/v1/users/{member.id}/reset-password", {"revoke_now": False})
    check_change(change, "password.reset_requested")
    member.client.get("/v1/me")
    acme.enter(member)


def test_deleting_takes_the_person_away_and_leaves_the_evidence(
    acme: Org, owner: Person, member: Person, tape: Tape
) -> None:
    change = owner.client.delete(f"/v1/users/{member.id}", {"confirm": member.email, "reason": "asked to"})
    effects = check_change(change, "user.deleted", *SESSION_GONE)
    assert change["user"] is None
    assert effects["sessions_ended"] == 1
    records = check_published(acme, change, owner)
    assert (records[0].data["name"], records[0].data["email"]) == (member.name, member.email)
    check_audited(acme, change, owner, member.__dict__, "asked to")
    owner.client.refused("GET", f"/v1/users/{member.id}", code="not_found", status=404)
    assert owner.client.get("/v1/users", q=member.email)["data"] == []
    tape.wait(lambda r: r.key == member.id and r.value is None, "the tombstone", DIRECTORY)
    assert acme.try_sign_in(member.email, member.password).status_code == 401


def test_a_user_can_be_deleted_by_post_too(acme: Org, owner: Person, member: Person) -> None:
    path = f"/v1/users/{member.id}/delete"
    owner.client.refused("POST", path, {}, code="confirmation_mismatch", status=422)
    owner.client.refused(
        "POST", path, {"confirm": "other@x.example"}, code="confirmation_mismatch", status=422
    )
    change = owner.client.post(path, {"confirm": member.email})
    assert types(change)[0] == "user.deleted"


def test_ending_all_sessions_of_a_user(acme: Org, owner: Person, member: Person) -> None:
    change = owner.client.delete(f"/v1/users/{member.id}/sessions")
    check_change(change, *SESSION_GONE)
    check_published(acme, change, owner)
    assert member.client.send("GET", "/v1/me").status_code == 401


def test_signing_in_and_out_are_events_of_the_session(acme: Org, member: Person, tape: Tape) -> None:
    session = member.session["id"]
    member.client.post("/v1/sign-out", status=204)

    def told() -> list[Record] | None:
        found = tape.find(lambda record: record.subject == session, "muster.users")
        return found if len(found) >= 4 else None

    records = wait_until(told, "the four events of a session")
    assert [record.type for record in records] == ["session.started", "ip_rule.granted", *SESSION_GONE]
    assert [record.sequence for record in records] == [1, 2, 3, 4]
    assert all(record.data["session"] == session for record in records)
    assert all(record.data["user"] == record.key == member.id for record in records)
    assert records[2].data["cause"]
    assert records[2].data["kill"].startswith("kil_")
    tape.wait(lambda record: record.data.get("kill") == records[2].data["kill"], "its kill", KILLS)


def test_the_directory_topic_holds_the_user_as_the_api_shows_it(acme: Org, owner: Person, tape: Tape) -> None:
    user = acme.invite(labels=["directory"])
    record = tape.wait(lambda r: r.key == user["id"], "the user in the directory", DIRECTORY)
    shown: Json = acme.user(user["id"])
    document = dict(record.data)
    assert document.pop("organization") == owner.client.get("/v1/me")["organization"]["id"]
    assert isinstance(document.pop("epoch"), int)
    assert document == {name: value for name, value in shown.items() if name != "last_sign_in_at"}
    assert set(record.headers) == {"content-type", "ce_org"}
