import json
import runpy
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from muster_contracts import generate, topics
from muster_contracts import yaml as plain_yaml
from muster_contracts.asyncapi import document
from muster_contracts.compatibility import breaks
from muster_contracts.events import Event, Stamp
from muster_contracts.registry import EVENTS
from muster_contracts.upcasts import upcast

from tests.contracts import golden

CREATED = golden.schema("user.created.1")


def changed(change) -> Any:
    schema = deepcopy(CREATED)
    change(schema)
    return schema


def test_what_is_checked_in_is_what_the_code_says():
    assert generate.main(["--check"]) == 0


def test_a_stale_file_a_missing_and_a_foreign_one_are_named(tmp_path: Path, capsys):
    generate.write(tmp_path)
    assert generate.main(["--check"], tmp_path) == 0
    (tmp_path / "asyncapi.yaml").write_text("asyncapi: 2.6.0\n")
    (tmp_path / "schemas/user.renamed/1.json").unlink()
    assert generate.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().err
    assert "asyncapi.yaml: stale" in said
    assert "schemas/user.renamed/1.json: stale" in said


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_module_is_a_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "argv", ["generate", "--check"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("muster_contracts.generate", run_name="__main__")
    assert stop.value.code == 0


def test_a_schema_that_breaks_its_readers_is_not_written(tmp_path: Path, capsys):
    generate.write(tmp_path)
    path = tmp_path / "schemas/user.created/1.json"
    before = changed(lambda schema: schema["properties"].update(badge={"type": "string"}))
    path.write_text(json.dumps(before))
    assert generate.main([], tmp_path) == 1
    assert "data.badge is gone" in capsys.readouterr().err
    assert json.loads(path.read_text()) == before


def test_a_version_cannot_be_taken_away(tmp_path: Path, capsys):
    generate.write(tmp_path)
    (tmp_path / "schemas/user.created/0.json").write_text(json.dumps(CREATED))
    assert generate.main([], tmp_path) == 1
    assert "the version is gone" in capsys.readouterr().err


def test_a_folder_without_schemas_is_filled(tmp_path: Path):
    assert generate.main([], tmp_path) == 0
    assert generate.stale(tmp_path) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema["properties"].update(badge={"type": "string"}),
        lambda schema: schema["properties"]["email"].update(description="an address"),
        lambda schema: schema["$defs"]["Ref"]["properties"].update(color={"type": "string"}),
    ],
)
def test_an_optional_field_or_a_remark_breaks_nobody(change):
    assert breaks(CREATED, changed(change)) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda schema: schema["properties"].pop("email"), "data.email is gone"),
        (
            lambda schema: schema["properties"]["status"].update(type="integer"),
            "data.status is not what it was",
        ),
        (lambda schema: schema["required"].append("erased"), "data.erased is newly required"),
        (lambda schema: schema["required"].remove("email"), "data.email is no longer required"),
        (
            lambda schema: schema["properties"].update(email={"type": "string"}),
            "data.email is not what it was",
        ),
        (
            lambda schema: schema["properties"]["status"].update(enum=["active"]),
            "data.status is not what it was",
        ),
        (
            lambda schema: schema["properties"]["labels"]["anyOf"][0]["items"].update(type="integer"),
            "data.labels[] is not what it was",
        ),
        (lambda schema: schema["$defs"]["Ref"]["properties"].pop("name"), "data.role.name is gone"),
        (
            lambda schema: schema["$defs"]["Ref"]["required"].append("color"),
            "data.role.color is newly required",
        ),
    ],
)
def test_what_breaks_a_reader_is_told(change, sentence: str):
    assert breaks(CREATED, changed(change)) == [sentence]


def test_personal_fields_are_marked_and_nullable():
    for name in golden.KINDS:
        for field, schema in golden.schema(name)["properties"].items():
            if "x-personal" in schema and "anyOf" in schema:
                assert {"type": "null"} in schema["anyOf"], (name, field)


def test_no_field_of_an_event_hides_one_of_the_stamp():
    taken = {*Stamp.model_fields, "erased"}
    assert all(taken.isdisjoint(kind.model_fields) for kind in EVENTS)


def test_a_type_and_version_is_one_class_and_lives_in_one_topic():
    assert len(golden.KINDS) == len(EVENTS)
    homes = {(kind.type, kind.topic.name) for kind in EVENTS}
    assert len(homes) == len({kind.type for kind in EVENTS})


def test_every_event_about_a_user_names_the_user():
    for kind in EVENTS:
        if kind.topic.key == "user" and kind.stamped:
            assert "user" in kind.model_fields


def test_class_and_type_have_the_same_name():
    def squeezed(kind: type[Event]) -> str:
        subject, _, verb = kind.type.partition(".")
        return (subject.rstrip("s") + verb).replace("_", "")

    for kind in EVENTS:
        name = kind.__name__.lower().replace("codes", "code")
        assert name == squeezed(kind).replace("codes", "code")


def test_the_document_names_every_topic_and_event_and_resolves():
    text = (golden.SCHEMAS.parent / "asyncapi.yaml").read_text()
    read = yaml.safe_load(text)
    assert read == document()
    assert set(read["channels"]) == {topic.name for topic in topics.ALL}
    messages = read["components"]["messages"]
    assert set(messages) == {*golden.KINDS, "directory.user.1"}
    for message in messages.values():
        assert (golden.SCHEMAS.parent / message["payload"]["schema"]["$ref"]).is_file()
    listed = [name for channel in read["channels"].values() for name in channel["messages"]]
    assert sorted(listed) == sorted(messages)


texts = st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=8)


@given(
    st.dictionaries(
        texts,
        st.recursive(
            st.none() | st.booleans() | st.integers() | texts | st.sampled_from(["no", "1e3", "a: b"]),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
            max_leaves=8,
        ),
        min_size=1,
        max_size=3,
    )
)
def test_our_yaml_is_read_by_others(value):
    assert yaml.safe_load(plain_yaml.dump(value)) == value


def test_personal_data_stays_on_kafka_for_a_week_and_a_day_at_most():
    for topic in topics.ALL:
        configs = topic.configs
        if topic is not topics.DIRECTORY:
            assert int(configs["retention.ms"]) + int(configs["segment.ms"]) <= topics.WEEK_MS + topics.DAY_MS
            assert configs["cleanup.policy"] == "delete"
    assert topics.DIRECTORY.configs["cleanup.policy"] == "compact"


def test_the_directory_is_split_like_the_events_it_belongs_to():
    assert topics.DIRECTORY.partitions == topics.USERS.partitions == 12


def test_old_data_is_brought_to_the_newest_version_step_by_step():
    steps = {
        ("user.created", 1): lambda data: {**data, "locale": None},
        ("user.created", 2): lambda data: {**data, "theme": "dark"},
    }
    assert upcast("user.created", 1, {"user": "usr_1"}, steps) == (
        3,
        {"user": "usr_1", "locale": None, "theme": "dark"},
    )
    assert upcast("user.renamed", 1, {}, steps) == (1, {})
