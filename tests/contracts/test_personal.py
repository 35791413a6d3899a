from muster_contracts.api_keys import ApiKeyRevoked
from muster_contracts.attempts import AttemptRefused
from muster_contracts.events import Actor, Change, Event, Ref, Stamp
from muster_contracts.personal import Parts, join, split
from muster_contracts.roles import RoleRemoved
from muster_contracts.users import UserDeactivated, UserRenamed, UserRoleChanged

ADMIN = Stamp(
    actor=Actor(type="user", id="usr_ada", name="Ada"),
    ip="198.51.100.1",
    user_agent="Firefox",
    reason="asked for",
)
RENAMED = UserRenamed(user="usr_mia", name=Change(old="Mia", new="Mia Chen"))


def rejoined(event: Event, parts: Parts, target: dict | None, actor: dict | None) -> dict:
    return join(event.type, event.version, parts.open, target, actor)


def test_target_and_actor_are_kept_apart():
    parts = split(RENAMED, ADMIN, self_act=False)
    assert parts.open == {"user": "usr_mia", "actor": {"type": "user", "id": "usr_ada"}}
    assert parts.target == {"name": {"old": "Mia", "new": "Mia Chen"}, "reason": "asked for"}
    assert parts.actor == {"ip": "198.51.100.1", "user_agent": "Firefox", "actor": {"name": "Ada"}}


def test_all_of_an_act_upon_oneself_is_the_targets():
    parts = split(RENAMED, ADMIN, self_act=True)
    assert parts.actor == {}
    assert parts.target.keys() == {"name", "reason", "ip", "user_agent", "actor"}


def test_an_erased_target_is_null_and_says_so_while_the_actor_stays():
    parts = split(RENAMED, ADMIN, self_act=False)
    data = rejoined(RENAMED, parts, None, parts.actor)
    assert data["name"] == {"old": None, "new": None}
    assert data["reason"] is None
    assert data["erased"] is True
    assert data["actor"] == {"type": "user", "id": "usr_ada", "name": "Ada"}
    assert data["ip"] == "198.51.100.1"


def test_an_erased_actor_is_null_and_says_so_while_the_target_stays():
    parts = split(RENAMED, ADMIN, self_act=False)
    data = rejoined(RENAMED, parts, parts.target, None)
    assert data["actor"] == {"type": "user", "id": "usr_ada", "name": None, "erased": True}
    assert (data["ip"], data["user_agent"]) == (None, None)
    assert data["name"] == {"old": "Mia", "new": "Mia Chen"}
    assert data["reason"] == "asked for"
    assert "erased" not in data


def test_who_is_erased_is_erased_as_actor_of_acts_upon_oneself_too():
    parts = split(RENAMED, ADMIN, self_act=True)
    data = rejoined(RENAMED, parts, None, {})
    assert data["erased"] is True
    assert data["actor"]["erased"] is True
    assert data["ip"] is None


def test_what_was_never_there_is_not_called_erased():
    system = Stamp(actor=Actor(type="system"))
    event = UserDeactivated(user="usr_mia", kill="kil_1", status=Change(old="active", new="inactive"))
    parts = split(event, system, self_act=False)
    assert (parts.target, parts.actor) == ({}, {})
    data = rejoined(event, parts, None, None)
    assert "erased" not in data
    assert data["actor"] == {"type": "system", "id": None, "name": None}


def test_a_reason_is_the_actors_where_no_person_is_the_target():
    parts = split(RoleRemoved(role="rol_1", name="Help desk"), ADMIN, self_act=False)
    assert parts.target == {}
    assert parts.actor["reason"] == "asked for"
    nobodys = ApiKeyRevoked(key="key_1", name="sync", user=None, cause="revoked")
    assert split(nobodys, ADMIN, self_act=False).actor["reason"] == "asked for"


def test_an_attempt_is_about_a_person_only_when_its_target_is_one():
    attempt = AttemptRefused(
        act="role.remove", code="role_in_use", rule=None, target="rol_1", login_hash=None, count=1
    )
    assert attempt.person() is None
    assert attempt.model_copy(update={"target": "usr_mia"}).person() == "usr_mia"


def test_what_is_no_persons_stays_open():
    event = UserRoleChanged(
        user="usr_mia", role=Change(old=Ref(id="rol_1", name="Member"), new=Ref(id="rol_2", name="Admin"))
    )
    parts = split(event, ADMIN, self_act=False)
    assert parts.open["role"]["new"] == {"id": "rol_2", "name": "Admin"}


def test_joining_leaves_the_parts_as_they_are():
    parts = split(RENAMED, ADMIN, self_act=False)
    before = repr(parts)
    rejoined(RENAMED, parts, None, None)
    assert repr(parts) == before
