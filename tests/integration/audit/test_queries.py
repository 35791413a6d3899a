"""`/v1/audit`: who may read, what is found, in which order, and that reading is recorded."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from services.audit.schemas import AuditCount, AuditPage, AuditRecord
from services.kit.ids import new_id
from services.kit.positions import Opaque
from tests.integration.audit.world import Log, World


async def filled(world: World) -> Log:
    log = world.log
    log.create(log.ben, "Ben Müller")
    log.create(log.ada, "Ada Owner")
    log.deactivate(log.ben, ip="2001:db8:1:2::7")
    log.rename(log.ada, "Ada Owner", "Ada Lovelace", ip="198.51.100.4")
    log.refuse("user.delete", "last_administrator", log.ada)
    await world.receive()
    return log


async def test_answers_have_the_shapes_of_the_contract(world: World) -> None:
    await filled(world)
    page = await world.get("/v1/audit")
    AuditPage.model_validate(page, strict=True)
    AuditRecord.model_validate(await world.get(f"/v1/audit/{page['data'][0]['id']}"), strict=True)
    AuditCount.model_validate(await world.get("/v1/audit/count"), strict=True)
    assert set(page["data"][0]) == set(AuditRecord.model_fields)
    assert page["count"] == {"value": 5, "exact": True}


async def test_the_newest_record_stands_first(world: World) -> None:
    await filled(world)
    assert [r["seq"] for r in (await world.get("/v1/audit"))["data"]] == [4, 3, 2, 1, 0]


async def test_every_filter_finds_what_it_says(world: World) -> None:
    log = await filled(world)

    async def seqs(**query: Any) -> list[int]:
        count = (await world.get("/v1/audit/count", **query))["count"]["value"]
        found = [r["seq"] for r in await world.found(**query)]
        assert count == len(found)
        return found

    assert await seqs(actor=log.ada) == [0, 1, 2, 3, 4]
    assert await seqs(actor=log.ben) == []
    assert await seqs(target=log.ben) == [0, 2]
    assert await seqs(target=[log.ben, log.ada]) == [0, 1, 2, 3, 4]
    assert await seqs(type="user.created") == [0, 1]
    assert await seqs(type=["user.renamed", "user.delete"]) == [3, 4]
    assert await seqs(outcome="refused") == [4]
    assert await seqs(ip="2001:db8:1:2::/64") == [2]
    assert await seqs(ip="198.51.100.4") == [3]
    assert await seqs(ip=["198.51.100.0/24", "2001:db8::/32"]) == [2, 3]
    assert await seqs(ip="0.0.0.0/0") == [0, 1, 3, 4]
    assert await seqs(since="2026-11-24T08:00:04Z") == [3, 4]
    assert await seqs(until="2026-11-24T08:00:02Z") == [0]
    assert await seqs(target=log.ben, type="user.deactivated") == [2]


async def test_text_finds_reasons(world: World) -> None:
    log = await filled(world)
    log.rename(log.ada, "Ada Lovelace", "Ada King", reason="Married in Köln")
    await world.receive()
    assert [r["seq"] for r in await world.found(q="married in koln")] == [5]


async def test_text_finds_sentences_names_and_ids_without_case_and_accents(world: World) -> None:
    log = await filled(world)
    for text in ("ben muller", "BEN MÜLLER", "müller deactivated", log.ben, "deactiv"):
        assert 2 in [r["seq"] for r in await world.found(q=text)], text
    one = (await world.found(q="lovelace"))[0]
    assert one["seq"] == 3
    for pasted in (one["id"], one["request_id"], one["id"].upper(), f"{one['request_id']} lovelace"):
        assert [r["seq"] for r in await world.found(q=pasted)] == [3]
    assert await world.found(q=f"{one['id']} müller") == []
    for nothing in ("%", "ben_m", "zzz", "\\", "\u0301", "\u0301 \u0308"):
        assert await world.found(q=nothing) == []


@pytest.mark.parametrize("sort", ["seq", "-seq", "occurred_at", "-occurred_at"])
async def test_pages_show_each_record_once_forwards_and_back_while_rows_are_added(
    world: World, sort: str
) -> None:
    log = world.log
    for number in range(12):
        log.create(new_id("usr"), f"Person {number}")
    await world.receive()
    page = await world.get("/v1/audit", sort=sort, limit=5)
    assert page["previous_cursor"] is None
    pages = [page]
    while page["next_cursor"]:
        await world.receive(log.create(new_id("usr"), "Later"))
        page = await world.get("/v1/audit", sort=sort, limit=5, cursor=page["next_cursor"])
        pages.append(page)
    seqs = [r["seq"] for p in pages for r in p["data"]]
    assert seqs == sorted(seqs, reverse=sort.startswith("-"))
    assert set(range(12)) <= set(seqs)
    assert len(seqs) == len(set(seqs))
    back = await world.get("/v1/audit", sort=sort, limit=5, cursor=pages[1]["previous_cursor"])
    assert [r["seq"] for r in back["data"]] == [r["seq"] for r in pages[0]["data"]]


async def test_a_cursor_belongs_to_its_query(world: World) -> None:
    await filled(world)
    cursor = (await world.get("/v1/audit", limit=2))["next_cursor"]
    assert (await world.get("/v1/audit", 400, limit=2, outcome="done", cursor=cursor))[
        "code"
    ] == "cursor_mismatch"
    assert (await world.get("/v1/audit", 400, cursor="abc"))["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"actr": "x"}, "unknown_parameter"),
        ({"ip": "300.1.1.1"}, "invalid_request"),
        ({"ip": "10.0.0.0/99"}, "invalid_request"),
        ({"outcome": "maybe"}, "invalid_request"),
        ({"since": "yesterday"}, "invalid_request"),
        ({"since": "2026-11-24T08:00:00"}, "invalid_request"),
        ({"limit": "0"}, "invalid_request"),
        ({"limit": "201"}, "invalid_request"),
        ({"sort": "name"}, "invalid_request"),
        ({"sort": "seq,occurred_at"}, "invalid_request"),
        ({"q": "a\0b"}, "invalid_request"),
        ({"actor": "\0"}, "invalid_request"),
        ({"q": ["a", "b"]}, "invalid_request"),
        ({"min_position": "xyz"}, "invalid_request"),
        ({"limit": "9" * 400}, "invalid_request"),
        ({"since": "99999-01-01T00:00:00Z"}, "invalid_request"),
        ({"since": "0001-01-01T00:00:00+14:00"}, "invalid_request"),
        ({"until": "9999-12-31T23:59:59-14:00"}, "invalid_request"),
        ({"since": "2026"}, "invalid_request"),
    ],
)
async def test_a_malformed_query_is_400(world: World, query: dict[str, Any], code: str) -> None:
    assert (await world.get("/v1/audit", 400, **query))["code"] == code


async def test_another_orgs_records_and_ids_are_not_found(world: World) -> None:
    other = Log()
    await world.receive(other.create(other.ben, "Ben"))
    row = await world.pool.fetchval("SELECT id FROM records")
    assert await world.found() == []
    for id_ in (row, new_id("aud"), "aud_x", "evt_1", "%00"):
        assert (await world.get(f"/v1/audit/{id_}", 404))["code"] == "not_found"


async def test_identitys_refusal_reaches_the_client_unchanged_before_anything_is_looked_at(
    world: World,
) -> None:
    problem = json.dumps({"code": "permission_missing", "status": 403, "missing_permission": "audit.read"})
    world.fake.refusal = web.Response(body=problem.encode(), status=403)
    for path in ("/v1/audit", "/v1/audit/count", f"/v1/audit/{new_id('aud')}"):
        answer = await world.client.get(path, params={"unknown": "x"})
        assert (answer.status_code, answer.text) == (403, problem)
        assert answer.headers["content-type"] == "application/problem+json"
    assert await world.pool.fetchval("SELECT count(*) FROM records") == 0


async def test_identity_is_told_who_asks_from_where_and_for_what(world: World) -> None:
    await world.get("/v1/audit")
    body, headers = world.fake.asked[0]
    assert body == {"permission": "audit.read", "method": "GET", "route": "/v1/audit"}
    lower = {name.lower(): value for name, value in headers.items()}
    assert lower["authorization"] == "Bearer mus_x"
    assert lower["muster-client-address"] == "198.51.100.9"
    assert lower["muster-request-id"] == "req_1"


async def test_without_identity_nobody_is_let_in(world: World) -> None:
    world.fake.refusal = web.Response(body=b"{}", status=503)
    assert (await world.get("/v1/audit", 503))["code"] == "unavailable"


async def test_without_the_gateways_key_nothing_is_answered(world: World) -> None:
    answer = await world.client.get("/v1/audit", headers={"muster-service-key": "other"})
    assert answer.status_code == 401
    assert world.fake.asked == []


async def test_each_successful_read_is_a_record_that_names_no_personal_value(world: World) -> None:
    log = await filled(world)
    await world.get("/v1/audit", q="Ben", target=log.ben)
    await world.get("/v1/audit/count")
    one = (await world.found(type="user.created"))[0]
    await world.get(f"/v1/audit/{one['id']}")
    await world.get("/v1/audit/aud_none", 404)
    reads = await world.found(type="audit.read")
    assert [r["sentence"] for r in reads] == ["Ada Owner read the audit."] * 4
    assert reads[0]["actor"] == {"type": "user", "id": log.ada, "name": "Ada Owner"}
    assert (reads[0]["ip"], reads[0]["request_id"], reads[0]["session_id"]) == (
        "198.51.100.9",
        "req_1",
        "ses_1",
    )
    stored = [json.loads(r["leaf"]) for r in await world.pool.fetch("SELECT leaf FROM records ORDER BY seq")]
    assert [leaf["data"].get("asked") for leaf in stored[5:9]] == [
        {"filters": ["q", "target"]},
        {"filters": []},
        {"filters": ["sort", "type"]},
        {"record": one["id"]},
    ]
    readable = [
        leaf | {"sealed_actor": None, "sealed_target": None} for leaf in stored
    ]  # those may hold any letters
    assert b"Ben" not in b"".join(json.dumps(leaf).encode() for leaf in readable)


async def test_reads_are_left_out_unless_the_type_asks(world: World) -> None:
    await filled(world)
    await world.get("/v1/audit")
    assert (await world.get("/v1/audit"))["count"]["value"] == 5
    assert len(await world.found(type=["audit.read", "user.renamed"])) == 3


async def test_a_refused_reading_is_shown_like_every_refusal(world: World) -> None:
    await world.receive(world.log.refuse("audit.read", "permission_missing"))
    (found,) = await world.found()
    assert found["sentence"] == "Ada Owner was not allowed to read the audit: the permission is missing."


async def test_min_position_waits_until_audit_has_come_there(world: World) -> None:
    log = world.log
    record = log.create(log.ben, "Ben")
    waiting = asyncio.create_task(world.get("/v1/audit", min_position=world.position(1)))
    while not world.fake.asked:
        await asyncio.sleep(0.01)
    assert not waiting.done()
    await world.receive(record)
    assert len((await waiting)["data"]) == 1


async def test_min_position_that_does_not_come_is_503_not_yet(world: World) -> None:
    answer = await world.client.get("/v1/audit", params={"min_position": world.position(7)})
    assert answer.status_code == 503
    assert answer.json()["code"] == "not_yet"
    assert answer.headers["retry-after"] == "1"


async def test_a_position_of_another_org_is_400(world: World) -> None:
    foreign = world.opaque.position(new_id("org"), 1)
    assert (await world.get("/v1/audit", 400, min_position=foreign))["code"] == "invalid_request"
    assert (await world.get("/v1/audit", 400, min_position=Opaque(b"x" * 32).position(world.log.org, 1)))[
        "code"
    ]


async def test_answers_carry_audits_progress(world: World) -> None:
    await filled(world)
    answer = await world.client.get("/v1/audit")
    assert world.opaque.read_position(world.log.org, answer.headers["muster-position"]) == 5


async def test_of_one_batch_what_happened_first_is_recorded_first(world: World) -> None:
    log = world.log
    log.create(log.ben, "Ben Miller")
    log.create(log.ada, "Ada Lovelace")
    log.delete(log.ben, "Ben Miller")
    await world.receive(*reversed(log.records))  # a batch is of several topics
    assert [(r["type"], r["target"]["id"]) for r in await world.found()] == [
        ("user.created", log.ben), ("user.created", log.ada), ("user.deleted", log.ben),
    ]  # fmt: skip
