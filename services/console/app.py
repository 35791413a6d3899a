"""The console's process: `python -m services.console.app`. Settings in, pages out."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from services.console import templates
from services.console.assets import Kept
from services.console.csrf import Csrf
from services.console.failures import failure
from services.console.gateway_client import Gateway, Problem
from services.console.pages import (
    account,
    acts,
    audit,
    confirm,
    edit,
    factors,
    info,
    invite,
    links,
    mails,
    sign_in,
    users,
)
from services.console.protection import Protection
from services.console.routes import add, open_visit
from services.console.session import Cookies
from services.console.visit import ACCOUNT, HOME, START, Console, Visit
from services.kit.addresses import Addresses
from services.kit.server import serve
from services.kit.settings import Settings, SettingsError, load
from services.kit.telemetry import configure, logger

log = logger(__name__)
USAGE = 2
PAGES = (sign_in, users, mails, edit, acts, info, invite, confirm, account, factors, audit, links)


def create(settings: Settings) -> FastAPI:
    """The whole console; it holds no state but its connections.

    Raises:
        SettingsError: its key is missing: the audit would show the console's address as everyone's.
    """
    keys = [key.strip() for key in settings.service_keys.console_gateway.get_secret_value().split(",")]
    if not keys[0]:
        raise SettingsError("MUSTER_SERVICE_KEYS__CONSOLE_GATEWAY is not set; give it or its _FILE")
    origin = settings.urls.console
    gateway = Gateway(settings.urls.gateway, keys[0])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with gateway.opened():
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.console = Console(
        gateway, templates.environment(), Cookies(origin), Csrf(origin, keys),
        Addresses(settings.gateway.trusted_proxies),
    )  # fmt: skip
    for page in PAGES:
        page.add_pages(app)
    add(app, "GET", START, _start)
    _add_plain(app, gateway)
    app.mount("/static", Kept())
    return app


def protected(app: FastAPI) -> ASGIApp:
    """With the headers of every answer; around all of it, so that an error's page has them too."""
    return Protection(app, is_secure=app.state.console.cookies.is_secure)


async def _start(visit: Visit) -> Response:
    return visit.redirect(HOME if visit.may("users.read") else ACCOUNT)


def _add_plain(app: FastAPI, gateway: Gateway) -> None:
    """Health, addresses that lead elsewhere, and what no page answers."""

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "live"})

    async def ready(_: Request) -> Response:
        is_ready = await gateway.is_ready()
        return JSONResponse({"status": "ready" if is_ready else "not_ready"}, 200 if is_ready else 503)

    async def users_elsewhere(request: Request) -> Response:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(HOME + query, 303)

    for path, endpoint in (
        ("/live", live), ("/ready", ready), ("/admin/users", users_elsewhere), ("/admin", users_elsewhere),
        ("/settings", users_elsewhere), ("/settings/organization", users_elsewhere),
    ):  # fmt: skip
        app.add_route(path, endpoint, methods=["GET"])

    @app.exception_handler(HTTPException)
    async def nothing_here(request: Request, error: HTTPException) -> Response:  # pyright: ignore[reportUnusedFunction]
        status = error.status_code
        detail = "There is no page at this address." if status == 404 else "This cannot be asked here."  # noqa: PLR2004
        visit = open_visit(app.state.console, request)
        return failure(visit, Problem(status, {"code": "not_found", "detail": detail}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:  # pyright: ignore[reportUnusedFunction]
        log.error("unexpected error", path=request.scope.get("route", ""), exc_info=error)
        return failure(open_visit(app.state.console, request), Problem(500, {"code": "internal"}))


def main() -> None:
    try:
        settings = load()
        app = create(settings)
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    configure(settings.instance or "console", settings.log_level)
    serve(protected(app), settings.listen.host, settings.listen.console)


if __name__ == "__main__":
    main()
