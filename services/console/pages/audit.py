"""The audit log: sentences first, everything else one click behind them; refused attempts are shown."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.datastructures import QueryParams
from starlette.responses import Response

from services.console import texts, times
from services.console.gateway_client import Json, Problem
from services.console.routes import add
from services.console.visit import Visit

PATH = "/settings/organization/audit"
FILTERS = ("q", "actor", "target", "type", "outcome", "ip", "since", "until")
SAME = ("q", "actor", "target", "type", "outcome", "ip", "min_position")
OUTCOMES = (("done", "Done"), ("refused", "Refused"), ("failed", "Failed"))


@dataclass(frozen=True, slots=True)
class Asked:
    """What an address of this page asks for; days are those of the reader's zone."""

    q: str = ""
    actor: str = ""
    target: str = ""
    type: str = ""
    outcome: str = ""
    ip: str = ""
    since: str = ""
    until: str = ""
    min_position: str = ""
    cursor: str = ""

    @classmethod
    def of(cls, query: QueryParams) -> Asked:
        return cls(**{name: query.get(name, "").strip() for name in (*FILTERS, "min_position", "cursor")})

    def query(self, **changes: Any) -> str:
        asked = replace(self, **changes)
        kept = {name: value for name in (*FILTERS, "cursor") if (value := getattr(asked, name))}
        return f"?{urlencode(kept)}" if kept else ""

    def with_(self, **changes: Any) -> str:
        """The query of the first page with these filters changed."""
        return self.query(**{"cursor": ""} | changes)

    @property
    def is_filtered(self) -> bool:
        return any(getattr(self, name) for name in FILTERS)

    def params(self, zone: str | None) -> list[tuple[str, str]]:
        """The query of `GET /v1/audit` that answers this."""
        params = [(name, value) for name in (*SAME, "cursor") if (value := getattr(self, name))]
        params += [("since", moment) for moment in _midnight(self.since, zone)]
        params += [("until", moment) for moment in _midnight(self.until, zone, days=1)]
        return params


def _midnight(day: str, zone: str | None, days: int = 0) -> list[str]:
    """The moment at which a day begins, in RFC 3339; nothing for what is no day."""
    try:
        return [times.midnight(date.fromisoformat(day) + timedelta(days=days), zone)]
    except (ValueError, OverflowError):
        return []


async def page(visit: Visit) -> Response:
    asked = Asked.of(visit.request.query_params)
    return visit.page(
        "audit/page.html", types=texts.AUDIT_TYPES, outcomes=OUTCOMES, **await values(visit, asked)
    )


async def table(visit: Visit) -> Response:
    asked = Asked.of(visit.request.query_params)
    is_typed = visit.request.headers.get("hx-trigger") == "q"
    where = {"HX-Replace-Url" if is_typed else "HX-Push-Url": PATH + asked.query()}
    return visit.fragment("audit/table.html", where, **await values(visit, asked))


async def values(visit: Visit, asked: Asked) -> Json:
    """What the table shows; a filter that cannot be followed is told in it."""
    shown: Json = {"asked": asked, "rows": [], "count": None, "after": None, "before": None, "refusal": None}
    try:
        found = await visit.get("/v1/audit", asked.params(visit.me.get("timezone")))
    except Problem as problem:
        if problem.status != 400 and problem.code != "not_yet":  # noqa: PLR2004
            raise
        return shown | {"refusal": problem.detail}
    before, after = found["previous_cursor"], found["next_cursor"]
    return shown | {
        "rows": found["data"], "count": found["count"], "before": before and asked.query(cursor=before),
        "after": after and asked.query(cursor=after),
    }  # fmt: skip


async def record(visit: Visit) -> Response:
    """One record with everything in it."""
    found = await visit.get(f"/v1/audit/{visit.path['record']}")
    raw = json.dumps(found, indent=2, ensure_ascii=False)
    return visit.fragment("audit/record.html", record=found, raw=raw)


def add_pages(app: FastAPI) -> None:
    add(app, "GET", PATH, page)
    add(app, "GET", "/_/audit/table", table)
    add(app, "GET", "/_/audit/{record}", record)
