"""What somebody sends who means no good, or whose browser is odd, is refused and breaks nothing."""

from __future__ import annotations

import httpx
import pytest
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from services.console.app import create, protected
from services.console.csrf import Csrf, Forged
from services.console.forms import Form
from services.console.pages import audit
from services.console.pages.acts import once
from services.console.pages.edit import stands_on
from services.console.protection import HEADERS
from services.console.routes import add
from services.console.visit import Visit
from services.kit.settings import Settings, load

ORIGIN = "https://muster.example"


def post(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": pairs})


@pytest.mark.parametrize("shown", ["é", "\ud800", "\x00", "💩", ""])
def test_a_form_token_of_other_letters_is_refused(shown: str) -> None:
    with pytest.raises(Forged):
        Csrf(ORIGIN, ["key"]).check(post(sec_fetch_site="same-origin"), shown, "holder")


@pytest.mark.parametrize(
    "origin", ["http://muster.example", "https://muster.example.other.example", "https://muster.example:1"]
)
def test_a_page_without_tls_is_none_of_ours(origin: str) -> None:
    csrf = Csrf(ORIGIN, ["key"])
    with pytest.raises(Forged):
        csrf.check(post(origin=origin, host="muster.example"), csrf.token("holder"), "holder")
    csrf.check(post(origin=ORIGIN, host="muster.example"), csrf.token("holder"), "holder")


@pytest.mark.parametrize("key", ["a\r\nX: y", "a\nb", "a b", "é", "x" * 300, "\x00", ""])
def test_no_header_is_made_from_a_form(key: str) -> None:
    assert once(Form({"key": key})) == {}
    assert stands_on(Form({"version": key})) == {}


def test_the_key_and_the_version_of_our_own_forms_are_headers() -> None:
    assert once(Form({"key": "req_01kavq8m2e7n4r9tbx5cw601hj"})) == {
        "Idempotency-Key": "req_01kavq8m2e7n4r9tbx5cw601hj"
    }
    assert stands_on(Form({"version": "17"})) == {"If-Match": '"17"'}


@pytest.mark.parametrize("zone", ["Europe/Vienna", "America/New_York", None])
def test_a_day_before_all_days_filters_nothing(zone: str | None) -> None:
    for day in ("0001-01-01", "9999-12-31"):
        asked = audit.Asked.of(QueryParams({"since": day, "until": day}))
        assert all(len(moment) >= 20 for _, moment in asked.params(zone))


@pytest.fixture
def settings() -> Settings:
    return load({"MUSTER_SERVICE_KEYS__CONSOLE_GATEWAY": "key", "MUSTER_URLS__GATEWAY": "http://127.0.0.1:1"})


async def test_an_error_of_ours_is_told_without_a_word_of_it_and_with_all_headers(settings: Settings) -> None:
    app = create(settings)

    async def broken(_: Visit) -> Response:
        raise RuntimeError("secret words")

    add(app, "GET", "/broken", broken, signed_in=False)
    answer = await ask(protected(app), "/broken")
    assert answer.status_code == 500
    assert "secret words" not in answer.text
    assert "Something went wrong" in answer.text
    for name, value in HEADERS.items():
        assert answer.headers[name.decode()] == value.decode()
    assert answer.headers["cache-control"] == "no-store"


async def ask(app: ASGIApp, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console") as http:
        return await http.get(path)


async def test_no_form_of_any_page_is_taken_without_its_token(settings: Settings) -> None:
    app = create(settings)
    routes = [route for route in app.routes if "POST" in (getattr(route, "methods", None) or ())]
    assert len(routes) >= 20
    transport = httpx.ASGITransport(protected(app))
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": settings.urls.console}
    async with httpx.AsyncClient(
        transport=transport, base_url=settings.urls.console, headers=headers
    ) as http:
        for route in routes:
            path = getattr(route, "path", "").replace("{", "").replace("}", "")
            answer = await http.post(path, data={"csrf": "x"})
            assert "from an earlier session or from another site" in answer.text, path
