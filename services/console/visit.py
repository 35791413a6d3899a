"""One request of a browser: who asks, what they sent, and the ways to answer it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from services.console.csrf import Csrf
from services.console.forms import Form
from services.console.gateway_client import Answer, Caller, Gateway, Json, Params
from services.console.session import Cookies
from services.kit.addresses import Addresses
from services.kit.ids import new_id

START = "/"
"""Leads on to what the person may see."""
HOME = "/settings/organization/users"
ACCOUNT = "/account"
SIGN_IN = "/sign-in"


@dataclass(frozen=True, slots=True)
class Console:
    """What the pages of this process work with."""

    gateway: Gateway
    templates: Environment
    cookies: Cookies
    csrf: Csrf
    addresses: Addresses


@dataclass(slots=True)
class Visit:
    """A request, and who it is from: `me` is the answer of `GET /v1/me`, {} for who is not signed in."""

    console: Console
    request: Request
    caller: Caller
    visitor: str
    form: Form = field(default_factory=lambda: Form({}))
    me: Json = field(default_factory=dict[str, Any])
    early: Awaitable[Any] = field(init=False)
    """What was asked while it was not known yet who asks; see `routes.add`."""

    @property
    def path(self) -> dict[str, str]:
        """The parameters of the path, quoted for use in another path."""
        return {name: quote(value, safe="") for name, value in self.request.path_params.items()}

    @property
    def is_fragment(self) -> bool:
        """Whether a part of a page is asked for; the address decides, so that no cache mixes the two."""
        return self.request.url.path.startswith("/_/")

    @property
    def holder(self) -> str:
        """The cookie that a form's token belongs to."""
        return self.caller.token or self.visitor

    def may(self, permission: str) -> bool:
        return permission in self.me.get("permissions", ())

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        params: Params = (),
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a call in this person's name. Raises Problem, Away."""
        return await self.console.gateway.call(
            self.caller, method, path, body, params=params, headers=headers
        )

    async def get(self, path: str, params: Params = ()) -> Json:
        return (await self.call("GET", path, params=params)).body

    def render(self, template: str, **values: Any) -> str:
        return self.console.templates.get_template(template).render(
            me=self.me or None,
            may=self.may,
            csrf=self.console.csrf.token(self.holder),
            new_key=lambda: new_id("req"),
            at=self.request.url.path,
            **values,
        )

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        return HTMLResponse(self.render(template, **values), status)

    def fragment(self, template: str, headers: Mapping[str, str] | None = None, **values: Any) -> Response:
        return HTMLResponse(self.render(template, **values), headers=headers)

    def redirect(self, to: str) -> Response:
        """Lead the browser to another page, from a page or from a part of one."""
        if self.is_fragment:
            return Response(status_code=200, headers={"HX-Redirect": to})
        return RedirectResponse(to, 303)

    def came_from(self) -> str:
        """The page that a fragment belongs to, or this page itself: path and query, never another site."""
        url = (
            urlsplit(self.request.headers.get("hx-current-url", "")) if self.is_fragment else self.request.url
        )
        return local(f"{url.path}?{url.query}" if url.query else url.path)


def local(address: str) -> str:
    """An address within this console; START for anything that could lead elsewhere."""
    if not address.startswith("/") or address.startswith(("//", "/\\", "/_/")) or not address.isprintable():
        return START
    return address


def events(**named: Any) -> dict[str, str]:
    """The header that has the page do something once the answer is in it: `muster:{name}` with this detail."""
    return {
        "HX-Trigger-After-Settle": json.dumps({f"muster:{name}": detail for name, detail in named.items()})
    }
