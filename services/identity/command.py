"""One request for a command, from the credential to the answer, in the order of checks of api.md §2."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fastapi import FastAPI, Request, Response
from pydantic import ValidationError

from services.identity import idempotency
from services.identity.access import Principal
from services.identity.idempotency import IdempotencyKeyReused, Once
from services.identity.routes import (
    Call,
    CommandQuery,
    Decision,
    NoQuery,
    Route,
    Services,
    answer,
    caller_of,
    head,
    origin_of,
    principal_of,
    refusal,
    register,
)
from services.identity.run import Draft, MakeAnswer, Origin
from services.identity.store import Answer, Fact
from services.kit.errors import Invalid, MusterError
from services.kit.http import STATUS, RequestContext, read_body, read_query
from services.kit.postgres import Database

REFUSALS_KEPT = frozenset({400, 403, 404, 409, 422})
"""An idempotency key also keeps these."""
NOT_KEPT = frozenset({"confirmation_required", "idempotency_key_reused"})
"""But not these: the one is asked again after the proof, the other is not what the key stands for."""
LONGEST_VERSION = 18
"""Digits; what is longer was never shown, and is read no further: Python refuses numbers of many thousands."""


def add_command(app: FastAPI, services: Services, route: Route, decide: Decision) -> None:
    """Serve a command: `decide` is asked on every try, with a fresh principal."""

    async def endpoint(request: Request) -> Response:
        return await _Command(services, route, decide, request).serve()

    register(app, route, endpoint)


class _AnsweredMeanwhile(Exception):
    """A parallel request with the same idempotency key was first."""


class _Command:
    """Its steps; `_org` in a kept answer is whose positions it speaks of."""

    def __init__(self, services: Services, route: Route, decide: Decision, request: Request) -> None:
        self._services = services
        self._route = route
        self._decide = decide
        self._request = request
        self._context = RequestContext.of(request)

    async def serve(self) -> Response:
        principal = await caller_of(self._services, self._request, enrolling=self._route.enrolling)
        once, reason = None, None
        try:
            self._route.admit(principal)
            once = await self._once(principal)
            if once and (replay := await self._replay(once)):
                return replay
            call = await self._call(principal)
            reason = getattr(call.body, "reason", None)
            return await self._run(call, once)
        except _AnsweredMeanwhile:
            return await self._first_answer(once)
        except MusterError as error:
            return await self._settle(principal, once, error, reason)

    async def _once(self, principal: Principal) -> Once | None:
        request = self._request
        key = request.headers.get("idempotency-key")
        if key is None or not self._route.change or _is_dry_run(request):
            return None
        return idempotency.once(
            key, principal, request.method, self._route.path, request.url.path, await request.body()
        )

    async def _call(self, principal: Principal) -> Call[Any]:
        query = read_query(self._request, CommandQuery if self._route.change else NoQuery)
        version = _if_match(self._request.headers.get("if-match")) if self._route.change else None
        body = await read_body(self._request, self._route.body)
        return Call(
            self._services, principal, self._context, dict(self._request.path_params), body,
            getattr(query, "dry_run", False), version,
        )  # fmt: skip

    async def _run(self, call: Call[Any], once: Once | None) -> Response:
        tries = 0

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            nonlocal call, tries
            tries += 1
            if tries > 1:
                call = replace(call, principal=await self._again(connection, once))
            draft = await self._decide(connection, call)
            if once:
                claim = once.reserve(call.principal.credential, call.principal.now)
                draft = replace(draft, claims=(*draft.claims, claim))
            return origin_of(call.principal, self._context, getattr(call.body, "reason", None)), draft

        keep = self._keep(once, call.principal) if once else None
        done = await self._services.runner.run(decide, dry_run=call.dry_run, answer=keep)
        document = self._document(done.draft, () if call.dry_run else done.facts)
        if document is not None:
            if call.dry_run:
                document["events"] = [_event(fact, shown=False) for fact in done.facts]
            elif self._route.change and done.position is not None:
                document["position"] = self._services.opaque.position(call.principal.org, done.position)
            document |= done.draft.secret
        position = await head(self._services) if done.position is None else done.position
        return answer(self._services, call.principal.org, document, position, done.draft.status)

    async def _again(self, connection: Database, once: Once | None) -> Principal:
        """The caller as they are now: what let them in may be what moved."""
        principal = await principal_of(connection, self._request, enrolling=self._route.enrolling)
        self._route.admit(principal)
        if once and await self._services.answers.find(connection, once):
            raise _AnsweredMeanwhile
        return principal

    def _document(self, draft: Draft, facts: Sequence[Fact]) -> dict[str, Any] | None:
        if not self._route.change:
            return draft.body
        events = [_event(fact, shown=True) for fact in facts]
        return {"object": "change", "position": None, "events": events} | (draft.body or {})

    def _keep(self, once: Once, principal: Principal) -> MakeAnswer:
        def keep(draft: Draft, facts: tuple[Fact, ...]) -> Answer:
            document = {"_org": principal.org} | (self._document(draft, facts) or {})
            return self._services.answers.make(once, draft.status, document, principal.now)

        return keep

    async def _replay(self, once: Once) -> Response | None:
        async with self._services.pool.acquire() as connection:
            kept = await self._services.answers.find(connection, once)
        if kept is None:
            return None
        body = kept.body
        org: str = body.pop("_org")
        if "position" in body:
            body["position"] = self._services.opaque.position(org, kept.position)
        response = answer(self._services, org, body, kept.position, kept.status)
        response.headers["Idempotency-Replayed"] = "true"
        if kept.status >= 400:  # noqa: PLR2004 (a refusal)
            response.headers["Content-Type"] = "application/problem+json"
        return response

    async def _first_answer(self, once: Once | None) -> Response:
        replay = await self._replay(once) if once else None
        if replay is None:
            raise Invalid("The first request with this Idempotency-Key is gone.")
        return replay

    async def _settle(
        self, principal: Principal, once: Once | None, error: MusterError, reason: str | None
    ) -> Response:
        """Answer a refusal; one that an idempotency key asked for is kept for the repeat.

        A repeat may be refused for what its parallel first one did: then it gets that one's answer.
        """
        if once and error.code not in NOT_KEPT:
            try:
                if replay := await self._replay(once):
                    return replay
            except IdempotencyKeyReused as reused:
                error = reused
        keeps = once is not None and error.code not in NOT_KEPT
        response = await refusal(self._services, principal, self._route, self._request, error, reason)
        if once and keeps and STATUS[error.kind] in REFUSALS_KEPT:
            return await self._keep_refusal(principal, once, response)
        return response

    async def _keep_refusal(self, principal: Principal, once: Once, response: Response) -> Response:
        document = {"_org": principal.org} | json.loads(bytes(response.body))
        kept = self._services.answers.make(once, response.status_code, document, principal.now)

        async def decide(connection: Database) -> tuple[Origin, Draft]:
            if await self._services.answers.find(connection, once):
                raise _AnsweredMeanwhile
            claim = once.reserve(principal.credential, principal.now)
            return replace(origin_of(principal, self._context), reads={}), Draft(claims=(claim,))

        try:
            await self._services.runner.run(decide, answer=lambda _draft, _facts: kept)
        except _AnsweredMeanwhile:
            return await self._first_answer(once)
        return response


def _event(fact: Fact, *, shown: bool) -> dict[str, Any]:
    """An event of the change; a dry run made none, so it has neither id nor version."""
    return {
        "id": fact.id if shown else None,
        "type": fact.event.type,
        "version": fact.version if shown else None,
    }


def _is_dry_run(request: Request) -> bool:
    """Whether the query asks for one, in whichever of the spellings that `CommandQuery` takes."""
    try:
        return CommandQuery(dry_run=request.query_params.get("dry_run", False)).dry_run  # pyright: ignore[reportArgumentType]
    except ValidationError:
        return False  # refused as soon as the query is read


def _if_match(header: str | None) -> int | None:
    """The version in an `If-Match` header. Raises Invalid."""
    if header is None or header.strip() == "*":
        return None
    if header.strip().startswith("W/"):
        raise Invalid('If-Match compares strongly: a version is "17", without W/.')
    text = header.strip().strip('"')
    if not (text.isascii() and text.isdigit()):
        raise Invalid('If-Match holds a version as "17".')
    return int(text) if len(text) <= LONGEST_VERSION else 10**LONGEST_VERSION
