"""Another team's service, in a process of its own, hears of a deactivation with a few lines of the SDK."""

from __future__ import annotations

import os
import subprocess
import threading

from tests.e2e.client import wait_until
from tests.e2e.people import Org, Person
from tests.e2e.place import PYTHON, ROOT, Place


def test_the_example_subscriber_hears_of_a_deactivation(
    acme: Org, place: Place, owner: Person, member: Person
) -> None:
    command = [PYTHON, "contracts/examples/subscriber.py", place.read()["kafka"]]
    heard: list[str] = []
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "contracts")},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        reading = threading.Thread(target=lambda out=process.stdout: heard.extend(out), daemon=True)
        reading.start()
        try:
            owner.client.post(f"/v1/users/{member.id}/deactivate")
            line = wait_until(
                lambda: next((h for h in heard if member.id in h), None), "a line of the subscriber"
            )
        finally:
            process.terminate()
        reading.join(10)
    assert line == f"{member.id} was deactivated by {owner.name}\n"
