"""What is wrong with a mail is found, and a repeat that somebody's absence explains is none."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.checks_mail import one_mail_goes_out_for_each_cause
from tests.faults.made_up import MadeUp, at
from tests.faults.mail_server import Delivery, Outage
from tests.faults.watch import Watch

ADDRESS = "usr_member@x.example"
LINK = {"user": "usr_member", "link": "lnk_1", "expires_at": "", "email": ADDRESS}
REQUESTED = {"password.reset_requested": LINK | {"by_admin": True, "revoked": False, "kill": None}}
CHANGED = {"user.email_changed": {"user": "usr_member", "email": {"old": ADDRESS, "new": "new@x.example"}}}


class Mails:
    """The mails of one cause, in the seconds after it."""

    def __init__(self, events: dict[str, Any], by: str = "usr_admin", made: MadeUp | None = None) -> None:
        self.made = made or MadeUp()
        self.cause = self.made.did(by, events)[0]
        self.began = self.made.clock
        self.made.more |= {name: [] for name in ("messages", "deliveries", "outages")}

    def queued(self, kind: str, state: str = "sent", error: str | None = None, finished: float = 60) -> Mails:
        row = {"event_id": self.cause.id, "kind": kind, "state": state, "error": error}
        self.made.more["messages"].append(row | {"finished_at": at(self.began + finished)})
        return self

    def came(self, kind: str, *seconds: float, to: str = ADDRESS, told: bool = True) -> Mails:
        for second in seconds:
            name = f"{self.cause.id}.{kind}@muster.example"
            self.made.more["deliveries"].append(Delivery(name, to, told, at(self.began + second)))
        return self

    def away(self, began: float, ended: float) -> Mails:
        outage = Outage("notifier-1", at(self.began + began), at(self.began + ended))
        self.made.more["outages"].append(outage)
        return self

    def found(self) -> list[str]:
        return list(one_mail_goes_out_for_each_cause(self.made.history, self.made.evidence()))


def _reset() -> Mails:
    return Mails(REQUESTED).queued("reset_by_admin")


def test_one_mail_for_one_cause_is_as_it_should_be() -> None:
    assert _reset().came("reset_by_admin", 1).found() == []


CAUSES: list[tuple[dict[str, Any], str, tuple[str, ...]]] = [
    ({"invitation.sent": LINK}, "usr_admin", ("invitation",)),
    (REQUESTED, "usr_admin", ("reset_by_admin",)),
    (REQUESTED, "usr_member", ("reset_by_self",)),
    ({"password.reset_completed": LINK | {"kill": "kil_1"}}, "usr_member", ("password_changed",)),
    ({"password.changed": {"user": "usr_member", "kill": "kil_1"}}, "usr_member", ("password_changed",)),
    ({"password.changed": {"user": "usr_member", "kill": None}}, "usr_member", ()),
    ({"mfa.reset": {"user": "usr_member", "kill": "kil_1"}}, "usr_admin", ("mfa_reset",)),
    (CHANGED, "usr_admin", ("email_changed", "email_changed_away")),
]


@pytest.mark.parametrize(("events", "by", "kinds"), CAUSES)
def test_each_kind_that_is_missing_is_found(events: dict[str, Any], by: str, kinds: tuple[str, ...]) -> None:
    assert len(Mails(events, by).found()) == len(kinds)
    mails = Mails(events, by)
    for kind in kinds:
        mails.queued(kind).came(kind, 1, to="new@x.example" if kind == "email_changed" else ADDRESS)
    assert mails.found() == []


def test_a_mail_that_is_queued_twice_or_for_nothing_or_never_came_is_found() -> None:
    assert len(_reset().queued("reset_by_admin").came("reset_by_admin", 1).found()) == 1
    assert len(_reset().queued("mfa_reset").came("reset_by_admin", 1).found()) == 1
    assert len(_reset().came("reset_by_admin", 1).came("mfa_reset", 1).found()) == 1
    assert len(_reset().found()) == 1


# ------------------------------------------------------------------------------------------------------ repeats
def test_a_repeat_while_nobody_was_away_is_found() -> None:
    [finding] = _reset().came("reset_by_admin", 1, 3).found()
    assert "nobody was away" in finding


@pytest.mark.parametrize(("began", "ended", "findings"), [(2, 2.1, 0), (0.5, 9, 0), (0, 0.9, 1), (3.1, 9, 1)])
def test_an_absence_explains_the_repeat_that_it_lies_before(
    began: float, ended: float, findings: int
) -> None:
    assert len(_reset().came("reset_by_admin", 1, 3).away(began, ended).found()) == findings


def test_an_absence_explains_two_repeats_of_a_mail_at_most() -> None:
    always = _reset().away(0, 100)
    assert always.came("reset_by_admin", 1, 2, 3).found() == []
    assert len(always.came("reset_by_admin", 4).found()) == 1


def test_what_the_mail_server_did_not_tell_may_come_again() -> None:
    silent = _reset().came("reset_by_admin", 1, 2, 3, told=False)
    assert silent.came("reset_by_admin", 4).found() == []
    assert len(silent.came("reset_by_admin", 5).found()) == 1


# --------------------------------------------------------------------------------------------------- recipients
@pytest.mark.parametrize("to", ["usr_admin@x.example", "new@x.example"])
def test_a_mail_to_another_address_is_found(to: str) -> None:
    assert len(_reset().came("reset_by_admin", 1, to=to).found()) == 1


def test_a_mail_goes_to_the_address_of_its_time() -> None:
    mails = _reset()
    mails.made.did("usr_admin", {"user.email_changed": CHANGED["user.email_changed"]})
    mails.came("reset_by_admin", 0.5, to=ADDRESS)
    kinds = {finding.partition(" has ")[0] for finding in mails.found()}  # the new cause has no mails here
    assert len(kinds) == 1
    mails.made.more["deliveries"].clear()
    assert len(mails.came("reset_by_admin", 0.5, to="new@x.example").found()) == 3
    mails.made.more["deliveries"].clear()
    assert len(mails.came("reset_by_admin", 2, to="new@x.example").found()) == 2


@pytest.mark.parametrize(
    ("new", "old", "findings"),
    [("new@x.example", ADDRESS, 0), (ADDRESS, ADDRESS, 1), ("new@x.example", "new@x.example", 1)],
)
def test_the_two_mails_of_a_new_address_go_to_the_new_and_to_the_old_one(
    new: str, old: str, findings: int
) -> None:
    mails = Mails(CHANGED).queued("email_changed").queued("email_changed_away")
    mails.came("email_changed", 1, to=new).came("email_changed_away", 1, to=old)
    assert len(mails.found()) == findings


# ------------------------------------------------------------------------------------------------- abandonments
DEACTIVATED = {"user.deactivated": {"user": "usr_member", "status": {"old": "active", "new": "inactive"}}}
VOID = {"password.reset_requested": REQUESTED["password.reset_requested"] | {"link": "lnk_2"}}
ACCEPTED = {"invitation.accepted": {"user": "usr_member", "link": "lnk_0", "status": {"new": "active"}}}


@pytest.mark.parametrize(
    ("error", "then", "finished", "findings"),
    [
        ("person_inactive", DEACTIVATED, 5, 0),
        ("person_inactive", DEACTIVATED, 0.5, 1),
        ("person_inactive", ACCEPTED, 5, 1),
        ("person_active", ACCEPTED, 5, 1),
        ("person_gone", {"user.deleted": {"user": "usr_member"}}, 5, 0),
        ("person_gone", DEACTIVATED, 5, 1),
        ("link_closed", DEACTIVATED, 5, 0),
        ("link_closed", {"password.changed": {"user": "usr_member", "kill": None}}, 5, 0),
        ("link_closed", {"password.changed": {"user": "usr_admin", "kill": None}}, 5, 1),
        ("link_closed", {"password.changed": {"user": "usr_member", "kill": None}}, 0.5, 1),
        ("expired", DEACTIVATED, 5, 1),
        ("refused_550", DEACTIVATED, 5, 1),
    ],
)
def test_a_mail_is_given_up_only_for_what_happened_before(
    error: str, then: dict[str, Any], finished: float, findings: int
) -> None:
    mails = Mails(REQUESTED).queued("reset_by_admin", "abandoned", error, finished)
    mails.made.did("usr_owner", then)
    assert len(mails.found()) == findings


def test_a_new_link_closes_the_old_one_and_the_same_one_does_not() -> None:
    for then, findings in ((VOID, 1), (REQUESTED, 2)):
        mails = Mails(REQUESTED).queued("reset_by_admin", "abandoned", "link_closed", 5)
        mails.made.did("usr_admin", then)
        assert len(mails.found()) == findings  # one of them: that the second cause has no mail


def test_whoever_was_inactive_before_the_cause_gets_no_mail_of_it() -> None:
    made = MadeUp()
    made.did("usr_admin", DEACTIVATED)
    reset = {"mfa.reset": {"user": "usr_member", "kill": "kil_1"}}
    assert Mails(reset, made=made).queued("mfa_reset", "abandoned", "person_inactive").found() == []


# ------------------------------------------------------------------------------------------------------ absences
def _seen(name: str, *looks: tuple[int | None, bool]) -> list[tuple[float, float]]:
    """The absences that follow when a look each second finds this process, at work or not."""
    watch = Watch(None, [])  # type: ignore[arg-type] (nobody looks for it)
    for second, (pid, is_well) in enumerate(looks):
        watch.note(name, pid, at(second), is_well=is_well)
    return [
        ((each.began - at(0)).total_seconds(), (each.ended - at(0)).total_seconds()) for each in watch.outages
    ]


def test_a_death_lasts_from_the_last_sign_of_life_to_the_first_without_one() -> None:
    assert _seen("notifier-1", (1, True), (1, True), (None, False), (None, False), (2, True)) == [(1, 2)]
    assert _seen("notifier-1", (1, True), (2, True), (2, True), (3, True)) == [(0, 1), (2, 3)]
    assert _seen("notifier-1", (1, True), (1, True)) == []


def test_a_standstill_lasts_until_it_goes_on() -> None:
    assert _seen("notifier-1", (1, True), (1, False), (1, False), (1, True), (1, True)) == [(0, 3)]
    assert _seen("notifier-1", (1, True), (1, False), (None, False), (2, True)) == [(0, 1)]


def test_postgres_is_away_until_it_has_recovered() -> None:
    assert _seen("postgres", (1, True), (None, False), (None, False), (2, True), (2, True)) == [(0, 8)]
