"""What a log line says, and what it never says."""

from __future__ import annotations

import io
import json
import logging

import pytest

from services.kit import telemetry


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    telemetry.configure("test")
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers[:], _ = before
    root.setLevel(before[1])


def _fail() -> None:
    try:
        {}["ada@acme.example"]
    except KeyError as error:
        raise ValueError("Key (email)=(ada@acme.example) exists") from error


def test_an_exception_is_told_by_types_and_places_but_not_by_its_text(lines):
    try:
        _fail()
    except ValueError:
        telemetry.logger("a").exception("it failed")
    (line,) = lines()
    assert [each["type"] for each in line["exception"]] == ["ValueError", "KeyError"]
    assert any(place.endswith("_fail") for place in line["exception"][0]["at"])
    assert "ada@" not in json.dumps(line)


def test_a_librarys_exception_is_told_the_same_way(lines):
    try:
        _fail()
    except ValueError:
        logging.getLogger("some.library").exception("Exception in application")
    (line,) = lines()
    assert line["event"] == "Exception in application"
    assert line["exception"][0]["type"] == "ValueError"
    assert "ada@" not in json.dumps(line)


def test_fields_that_are_personal_or_secret_are_dropped(lines):
    telemetry.logger("a").info("unit committed", position=17, email="ada@acme.example", token="mus_x")
    (line,) = lines()
    assert line["position"] == 17
    assert not {"email", "token"} & line.keys()
