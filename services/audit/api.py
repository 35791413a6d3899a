"""The HTTP side: reading the audit, which is recorded itself before anything is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from services.audit import search
from services.audit.entries import DONE, READ, Entry
from services.audit.identity import Caller, Identity, Refused
from services.audit.keys import Keys
from services.audit.leaves import Readable
from services.audit.progress import Progress
from services.audit.recorder import Recorder
from services.audit.schemas import AuditCount, AuditPage, AuditRecord, path_id
from services.audit.search import Filters, ListQuery
from services.audit.sentences import changes, sentence
from services.kit.errors import NotFound
from services.kit.http import Query, RequestContext, parameters, read_query
from services.kit.ids import is_id, new_id
from services.kit.positions import Opaque
from services.kit.postgres import Pool

PERMISSION = "audit.read"
UNKNOWN_ORG = "org_0"
Serve = Callable[["Audit", Request, Caller, str], Awaitable[Response]]


class OneQuery(Query):
    min_position: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """What the routes work with."""

    pool: Pool
    keys: Keys
    recorder: Recorder
    progress: Progress
    identity: Identity
    opaque: Opaque

    async def wait(self, caller: Caller, min_position: str | None) -> None:
        if min_position is not None:
            await self.progress.wait_for(self.opaque.read_position(caller.org, min_position))

    async def position_of(self, request: Request) -> str:
        """How far audit has come, for an answer that holds nothing of it."""
        return self.opaque.position(getattr(request.state, "org", UNKNOWN_ORG), self.progress.position)

    async def answer(
        self, request: Request, caller: Caller, route: str, asked: dict[str, Any], body: Any
    ) -> Response:
        """Record the reading, then answer; nothing is read that is not recorded."""
        entry = _reading(caller, RequestContext.of(request), route, asked)
        async with self.pool.acquire() as connection, connection.transaction():
            await self.recorder.record(connection, [entry])
        position = self.opaque.position(caller.org, self.progress.position)
        return JSONResponse(body, headers={"Muster-Position": position, "Cache-Control": "no-store"})


def show(record: Readable) -> dict[str, Any]:
    """A record as api.md §2 names its fields."""
    data = record.data
    actor = {"type": record.actor_type, "id": record.actor_id, "name": record.actor_name}
    target = {"type": record.target_type, "id": record.target_id, "name": record.target_name}
    return {
        "seq": record.seq,
        "id": record.id,
        "type": record.type,
        "outcome": record.outcome,
        "code": record.code,
        "occurred_at": record.occurred_at,
        "recorded_at": record.recorded_at,
        "actor": _party(actor, erased=record.actor_erased),
        "delegate": None,
        "target": None if record.target_id is None else _party(target, erased=record.target_erased),
        "ip": data.get("ip"),
        "user_agent": data.get("user_agent"),
        "request_id": record.request_id,
        "session_id": record.session_id,
        "reason": data.get("reason"),
        "changes": changes(data),
        "sentence": sentence(record),
        "seal": None,
    }


def _party(party: dict[str, Any], *, erased: bool) -> dict[str, Any]:
    return party | {"erased": True} if erased else party


router = APIRouter()


@router.get(
    "/v1/audit",
    summary="Find records",
    responses={200: {"model": AuditPage}},
    openapi_extra=parameters(ListQuery),
)
async def list_records(request: Request) -> Response:
    return await _guarded(request, "/v1/audit", _list)


@router.get(
    "/v1/audit/count",
    summary="Count records",
    responses={200: {"model": AuditCount}},
    openapi_extra=parameters(Filters),
)
async def count_records(request: Request) -> Response:
    return await _guarded(request, "/v1/audit/count", _count)


@router.get(
    "/v1/audit/{id}",  # noqa: FAST003 # read after identity was asked
    summary="One record",
    responses={200: {"model": AuditRecord}},
    openapi_extra=path_id(OneQuery),
)
async def get_record(request: Request) -> Response:
    return await _guarded(request, "/v1/audit/{id}", _get)


async def _guarded(request: Request, route: str, serve: Serve) -> Response:
    """Ask identity first: who may not read learns nothing of the query either."""
    audit: Audit = request.app.state.audit
    try:
        caller = await audit.identity.authorize(request, PERMISSION, route)
    except Refused as refused:
        return refused.response
    request.state.org = caller.org
    return await serve(audit, request, caller, route)


async def _list(audit: Audit, request: Request, caller: Caller, route: str) -> Response:
    query = read_query(request, ListQuery)
    await audit.wait(caller, query.min_position)
    found = await search.find(audit.pool, audit.keys, audit.opaque, caller.org, query)
    found["data"] = [show(record) for record in found["data"]]
    return await audit.answer(request, caller, route, {"filters": query.asked()}, found)


async def _count(audit: Audit, request: Request, caller: Caller, route: str) -> Response:
    query = read_query(request, Filters)
    await audit.wait(caller, query.min_position)
    value = await search.count(audit.pool, caller.org, query)
    body = {"count": {"value": value, "exact": True}}
    return await audit.answer(request, caller, route, {"filters": query.asked()}, body)


async def _get(audit: Audit, request: Request, caller: Caller, route: str) -> Response:
    query = read_query(request, OneQuery)
    await audit.wait(caller, query.min_position)
    id_ = request.path_params["id"]
    record = await search.get(audit.pool, audit.keys, caller.org, id_) if is_id(id_, "aud") else None
    if record is None:
        raise NotFound
    return await audit.answer(request, caller, route, {"record": id_}, show(record))


def _reading(caller: Caller, context: RequestContext, route: str, asked: dict[str, Any]) -> Entry:
    actor = caller.actor
    who: dict[str, Any] = {"type": actor["type"], "id": actor.get("id"), "name": actor.get("name")}
    return Entry(
        id=new_id("aud"),
        org=caller.org,
        type=READ,
        outcome=DONE,
        code=None,
        occurred_at=datetime.now(UTC),
        request_id=context.request_id or None,
        session_id=caller.session_id,
        actor_type=who["type"],
        actor_id=who["id"],
        target_type=None,
        target_id=None,
        person=None,
        event=None,
        data={
            "actor": who,
            "ip": context.ip,
            "user_agent": context.user_agent,
            "reason": None,
            "route": route,
            "asked": asked,
        },
        position=None,
        epoch=None,
    )
