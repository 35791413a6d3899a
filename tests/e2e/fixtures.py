"""The real thing, started once with `make up` in a folder of its own; the clients that tests see it through.

`MUSTER_E2E_RUN=path/to/run.json` takes one that runs already, and leaves it running.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.client import Client, sessionless
from tests.e2e.mailbox import Mailbox
from tests.e2e.people import RUN, Org, Person, new_org
from tests.e2e.place import Place, free_base, make
from tests.e2e.tape import Tape


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    if given := os.environ.get("MUSTER_E2E_RUN"):
        yield Place(Path(given).resolve())
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # who ends this run early ends Muster with it
    var, base = tmp_path_factory.mktemp("e2e") / "var with spaces", free_base()
    make("up", var, base)
    here = Place(var / "run.json")
    try:
        yield here
    finally:
        pids = here.read()["pids"]
        make("down", var, base)
        assert not here.run_file.exists()
        assert [name for name, pid in pids.items() if Path(f"/proc/{pid}").exists()] == []


@pytest.fixture(scope="session")
def anyone(place: Place) -> Iterator[Client]:
    """A caller without a credential."""
    with sessionless(place.gateway) as http:
        yield Client(http)


@pytest.fixture(scope="session")
def mailbox(place: Place) -> Iterator[Mailbox]:
    with httpx.Client(base_url=place.read()["mail"], timeout=10.0) as http:
        yield Mailbox(http)


@pytest.fixture(scope="session")
def tape(place: Place) -> Iterator[Tape]:
    tape = Tape(place.read()["kafka"])
    yield tape
    tape.stop()


@pytest.fixture(scope="session")
def acme(place: Place, anyone: Client, mailbox: Mailbox, tape: Tape) -> Org:
    """The demo organization, its printed Owner signed in."""
    run = place.read()
    org = Org(anyone, run["organization"], mailbox, tape)
    org.adopt_owner(run["owner"]["email"], run["owner"]["password"])
    return org


@pytest.fixture
def owner(acme: Org) -> Person:
    return acme.owner


@pytest.fixture(scope="session")
def acmes_admin(acme: Org) -> Person:
    return acme.join("admin")


@pytest.fixture
def admin(acmes_admin: Person) -> Person:
    return acmes_admin.prove()


@pytest.fixture
def member(acme: Org) -> Person:
    """Someone new, signed in; each test gets another one."""
    return acme.join()


@pytest.fixture(scope="session")
def other_org(place: Place, acme: Org) -> Org:
    return new_org(place, acme, f"other-{RUN}")


@pytest.fixture(scope="session")
def strict_org(place: Place, acme: Org) -> Org:
    """An organization that enforces MFA; its Owner is enrolled."""
    org = new_org(place, acme, f"strict-{RUN}")
    org.owner.enroll()
    org.owner.client.patch("/v1/organization", {"mfa_enforced": True})
    return org
