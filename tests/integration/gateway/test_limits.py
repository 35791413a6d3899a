from __future__ import annotations

import asyncio
import json

import pytest

from services.kit.tokens import make_token
from tests.integration.gateway.conftest import Gateway, gateway_with

FEW = {"MUSTER_GATEWAY__CALLS_PER_SECOND": "3"}


def bearer(prefix: str = "mus") -> str:
    return f"Bearer {make_token(prefix)}"


async def statuses(
    gateway: Gateway, count: int, path: str = "/v1/users", authorization: str = ""
) -> list[int]:
    headers = [("Authorization", authorization)] if authorization else []
    return [(await gateway.send("GET", path, headers)).status for _ in range(count)]


async def test_a_credential_that_calls_too_often_is_told_when_to_come_back() -> None:
    async with gateway_with(**FEW) as gateway:
        token = bearer()
        answers = await asyncio.gather(
            *(gateway.ask("GET", "/v1/users", authorization=token) for _ in range(6))
        )
        refused = [answer for answer in answers if answer.status == 429]
        assert len(refused) == 3
        assert len(gateway.identity.seen) == 3
        assert refused[0].json()["code"] == "rate_limited"
        assert refused[0].get("retry-after") == "1"
        assert refused[0].get("ratelimit-policy") == '"credential";q=3;w=1'
        assert refused[0].get("ratelimit") == '"credential";r=0;t=1'
        async with asyncio.timeout(5):
            while (await gateway.ask("GET", "/v1/users", authorization=token)).status != 200:
                await asyncio.sleep(0.05)


async def test_every_answer_shows_the_limit_and_what_is_left() -> None:
    async with gateway_with(**FEW) as gateway:
        gateway.identity.status = 404
        token = bearer()
        answers = [await gateway.ask("GET", "/v1/users", authorization=token) for _ in range(2)]
        assert [answer.get("ratelimit") for answer in answers] == [
            '"credential";r=2;t=1', '"credential";r=1;t=1',
        ]  # fmt: skip
        assert answers[0].get("ratelimit-policy") == '"credential";q=3;w=1'
        assert (await gateway.ask("GET", "/nowhere")).get("ratelimit-policy") == '"credential";q=3;w=1'


async def test_credentials_do_not_share_a_limit_and_spelling_buys_no_second_one() -> None:
    async with gateway_with(**FEW) as gateway:
        one, other = make_token("mus"), make_token("muk")
        spellings = (f"Bearer {one}", f"bearer {one}", f"BEARER   {one}", f"Bearer {one}  ")
        got = [
            (await gateway.ask("GET", "/v1/users", authorization=spelling)).status for spelling in spellings
        ]
        assert got == [200, 200, 200, 429]
        assert (await gateway.ask("GET", "/v1/users", authorization=f"Bearer {other}")).status == 200


async def test_invented_credentials_share_the_limit_of_their_address() -> None:
    async with gateway_with(**FEW) as gateway:
        got = [
            (await gateway.ask("GET", "/v1/users", authorization=f"Bearer mus_{n}")).status for n in range(4)
        ]
        assert got == [200, 200, 200, 429]
        assert await statuses(gateway, 1) == [429]
        assert await statuses(gateway, 1, authorization=bearer()) == [200]


async def test_the_anonymous_are_counted_by_address_an_ipv6_network_as_one() -> None:
    async with gateway_with(**FEW) as gateway:
        for addresses, expected in (
            (["192.0.2.1"] * 4, 429),
            (["192.0.2.2", "::ffff:192.0.2.2", "192.0.2.2", "::FFFF:c000:202"], 429),
            ([f"2001:db8:0:1::{n}" for n in range(4)], 429),
            ([f"2001:db8:0:{n}::1" for n in range(2, 6)], 200),
        ):
            got = [
                await gateway.ask(
                    "GET", "/v1/users", muster_service_key="console-new", muster_client_address=address
                )
                for address in addresses
            ]
            assert got[-1].status == expected, addresses


async def test_introspection_and_health_are_not_limited() -> None:
    async with gateway_with(**FEW) as gateway:
        gateway.identity.documents["/ready"] = (200, {})
        for path in ("/v1/introspect", "/live", "/ready"):
            assert set(await statuses(gateway, 8, path)) == {200}, path
        assert (await gateway.ask("POST", "/v1/introspect", b"token=x")).get("ratelimit") is None


async def test_a_request_leaves_one_line_in_the_log_without_personal_data(
    gateway: Gateway, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    user = "usr_01m867nybdewptx6nbfjra07sm"
    answer = await gateway.ask(
        "POST", f"/v1/users/{user}/deactivate?reason=secret-reason", b'{"reason": "secret-reason"}',
        authorization=bearer(), user_agent="secret-agent",
    )  # fmt: skip
    gateway.identity.status = 404
    await gateway.ask("GET", "/v1/users/ada@example.org")
    await gateway.ask("GET", "/v1/users/ada/timeline")
    await gateway.ask("GET", "/v1/users/%zz")
    text = capsys.readouterr().err
    first, *others = [json.loads(line) for line in text.splitlines()]
    assert first.pop("ms") >= 0
    assert first.pop("at").endswith("Z")
    assert first == {
        "event": "request", "request_id": answer.get("muster-request-id"), "method": "POST",
        "path": f"/v1/users/{user}/deactivate", "status": 200, "credential": "session",
        "process": "gateway", "level": "info", "logger": "services.gateway.access_log",
    }  # fmt: skip
    assert [line["path"] for line in others] == ["/v1/users/*", "/v1/users/*/*", "/v1/users/*"]
    assert [line["credential"] for line in others] == ["none"] * 3
    for personal in ("secret", "ada", "127.0.0.1"):
        assert personal not in text
