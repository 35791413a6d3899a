"""What the notifier did about the log: a mail for each cause, once, and an order for each session kill."""

from __future__ import annotations

from collections import Counter, defaultdict

from tests.faults.evidence import Evidence, Findings, Row
from tests.faults.history import History

MAILS = frozenset({"invitation.sent", "password.reset_requested", "mfa.reset"})
EXCUSES = frozenset(
    {"user.deactivated", "user.deleted", "invitation.voided", "invitation.accepted", "invitation.sent",
     "password.reset_requested", "password.reset_completed", "password.changed", "user.reactivated"}
)  # fmt: skip


def one_mail_goes_out_for_each_cause(_: History, evidence: Evidence) -> Findings:
    causes = {event.id: event for event in evidence.log if event.type in MAILS}
    queued = Counter(row["event_id"] for row in evidence.messages if row["event_id"] in causes)
    for id_, event in causes.items():
        if queued[id_] != 1:
            yield f"{event.type} at {event.position} has {queued[id_]} mails"
    sent: defaultdict[str, list[bool]] = defaultdict(list)
    for delivery in evidence.deliveries:
        sent[delivery.message_id.rpartition("@")[0]].append(delivery.told)
    twice = 0
    for row in evidence.messages:
        tries = sent.pop(f"{row['event_id']}.{row['kind']}", [])
        twice += max(0, tries.count(True) - 1)
        yield from _mail(row, tries, evidence)
    if twice > evidence.answers_lost:
        yield f"{twice} came twice although at most {evidence.answers_lost} answers were lost"
    if sent:
        yield f"{len(sent)} mails were sent that nobody had queued: {sorted(sent)[:3]}"


def _mail(row: Row, tries: list[bool], evidence: Evidence) -> Findings:
    if row["state"] == "sent" and not tries:
        yield f"{row['id']} is said to be sent, and never came"
    event = next((e for e in evidence.log if e.id == row["event_id"]), None)
    if row["state"] == "abandoned" and event is not None:
        later = (e for e in evidence.log if (e.position or 0) > (event.position or 0))
        if not any(e.subject == event.subject and e.type in EXCUSES for e in later):
            yield f"{row['id']} was given up for {row['error']}"


def kills_are_ordered_once(_: History, evidence: Evidence) -> Findings:
    wanted = {event.data["kill"] for event in evidence.log if event.data.get("kill")}
    ordered = Counter(row["stream"] for row in evidence.told if row["type"] == "session_kill.ordered")
    if missing := wanted - ordered.keys():
        yield f"{len(missing)} of {len(wanted)} are not ordered"
    if more := {kill: n for kill, n in ordered.items() if n > 1 or kill not in wanted}:
        yield f"{more}"
