"""What the gateway answers by itself: health, problem pages and the documents of the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from services.gateway import problems
from services.gateway.documents import OPENAPI, Contracts, OpenApi
from services.gateway.routes import Service
from services.gateway.upstream import Away, Services
from services.kit.errors import MusterError
from services.kit.http import TITLES, problem, problem_of

_CACHED = {"Cache-Control": "public, max-age=300"}


class Pages:
    """The handlers; they see no credential and need none."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._openapi = OpenApi(services)
        self._contracts = Contracts()
        self._let_in: set[Service] = set()

    async def live(self, _: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, _: Request) -> Response:
        """Ready when identity is; audit's absence takes away its own routes and nothing else."""
        states = {"identity": await self._state("identity"), "audit": await self._state("audit")}
        is_ready = states["identity"] == "ready"
        return JSONResponse({"ready": is_ready, **states}, 200 if is_ready else 503)

    async def _state(self, service: Service) -> str:
        try:
            status, _ = await self._services.document(service, "/ready")
            if status not in (200, 204):
                return "not_ready"
            return "ready" if await self._is_let_in(service) else "refuses_our_key"
        except Away:
            return "away"

    async def _is_let_in(self, service: Service) -> bool:
        """Whether our key opens: with a wrong one every call would look like a client's bad credential."""
        if service not in self._let_in:
            status, _ = await self._services.document(service, OPENAPI)
            if status == HTTPStatus.UNAUTHORIZED:
                return False
            self._let_in.add(service)
        return True

    async def openapi(self, _: Request) -> Response:
        return JSONResponse(await self._openapi.get(), headers=_CACHED)

    async def asyncapi(self, _: Request) -> Response:
        return self._file("asyncapi.yaml", "application/yaml")

    async def schema(self, request: Request) -> Response:
        name = "schemas/{type}/{version}.json".format(**request.path_params)
        return self._file(name, "application/schema+json")

    async def problem(self, request: Request) -> Response:
        found = problems.find(request.path_params["code"])
        if found is None:
            raise HTTPException(404)
        return HTMLResponse(
            problems.page(found),
            headers={"Content-Security-Policy": problems.POLICY, "Referrer-Policy": "no-referrer", **_CACHED},
        )

    def _file(self, name: str, media_type: str) -> Response:
        content = self._contracts.find(name)
        if content is None:
            raise HTTPException(404)
        return Response(content, media_type=media_type, headers=_CACHED)


def create(services: Services) -> Starlette:
    """The pages as an application whose lifespan holds the connections to the services."""
    pages = Pages(services)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with services.opened():
            yield

    routes = [
        Route("/live", pages.live),
        Route("/ready", pages.ready),
        Route("/openapi.json", pages.openapi),
        Route("/asyncapi.yaml", pages.asyncapi),
        Route("/schemas/{type}/{version}.json", pages.schema),
        Route("/problems/{code}", pages.problem),
    ]
    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        exception_handlers={HTTPException: _http_error, MusterError: _refused},
    )
    app.router.redirect_slashes = False
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "not_found", 405: "method_not_allowed"}.get(status, "invalid_request")
    answer = problem(status, code, TITLES.get(status, "Error") + ".", request.state.request_id)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, MusterError):
        raise error
    return problem_of(error, request.state.request_id)
