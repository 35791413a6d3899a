"""Two Owners act on each other at the same time, in every combination: one who can sign in always remains."""

from __future__ import annotations

import itertools
import os

import pytest

from tests.e2e.client import Client, together
from tests.e2e.people import RUN, Org, Person, new_org
from tests.e2e.place import Place

ACTS = ("demote", "deactivate", "patch", "delete")
ROUNDS = int(os.environ.get("MUSTER_E2E_ROUNDS", "10"))
"""Rounds for each of the 16 pairs."""


@pytest.fixture(scope="module")
def duel(place: Place, acme: Org) -> Org:
    return new_org(place, acme, f"duel-{RUN}")


def act(client: Client, kind: str, target: Person) -> int:
    path = f"/v1/users/{target.id}"
    if kind == "demote":
        return client.send("PATCH", path, {"role": "member"}).status_code
    if kind == "deactivate":
        return client.send("POST", f"{path}/deactivate").status_code
    if kind == "patch":
        return client.send("PATCH", path, {"active": False}).status_code
    return client.send("DELETE", path, {"confirm": target.email}).status_code


@pytest.mark.parametrize(("first", "second"), list(itertools.product(ACTS, ACTS)))
def test_an_owner_who_can_sign_in_always_remains(duel: Org, first: str, second: str) -> None:
    other = duel.join("owner")
    for _ in range(ROUNDS):
        one, two = duel.owner, other
        statuses = together(
            lambda one=one, two=two: act(one.client, first, two),
            lambda one=one, two=two: act(two.client, second, one),
        )
        assert min(statuses) == 200, statuses
        assert max(statuses) in (401, 403, 404, 409, 503), statuses
        duel.owner, lost = (one, two) if statuses[0] == 200 else (two, one)
        assert duel.owner.client.get("/v1/me")["role"]["name"] == "Owner"
        owners = duel.owner.client.get("/v1/users", role="owner", status="active")["data"]
        assert [owner["id"] for owner in owners] == [duel.owner.id]
        duel.enter(duel.owner)
        other = _back(duel, lost)
    duel.owner.client.delete(f"/v1/users/{other.id}", {"confirm": other.email})


def _back(duel: Org, lost: Person) -> Person:
    """Make an Owner who can sign in of the one who lost, or of somebody new."""
    answer = duel.owner.client.send("PATCH", f"/v1/users/{lost.id}", {"active": True, "role": "owner"})
    if answer.status_code == 404:
        return duel.join("owner")
    assert answer.status_code == 200, answer.text
    return duel.enter(lost)
