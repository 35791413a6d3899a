"""T53 and header smuggling: what a client writes must not pass for what the gateway says."""

from __future__ import annotations

import re

import pytest

from services.kit.tokens import make_token
from tests.integration.gateway.conftest import Gateway, gateway_with, send_raw

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_t53_no_forged_header_reaches_a_service(gateway: Gateway) -> None:
    forged = [
        ("Forwarded", "for=6.6.6.6;host=evil.example"), ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Host", "evil.example"), ("X-Forwarded-Proto", "https"), ("X-Original-URL", "/internal/head"),
        ("X-Real-IP", "6.6.6.6"), ("Muster-Client-Address", "6.6.6.6"), ("Muster-Request-Id", "req_forged"),
        ("MUSTER-SERVICE-KEY", "identity-new"), ("Muster-Client-Request-Id", "forged"), ("Muster-Anything", "x"),
        ("Muster_Client_Address", "6.6.6.6"), ("Muster-Client-Traceparent", TRACE), ("Cookie", "a=b"),
        ("Proxy-Authorization", "Basic eDp5"), ("TE", "trailers"), ("Connection", "Muster-Client-Address"),
        ("X-HTTP-Method-Override", "DELETE"),
    ]  # fmt: skip
    assert (await gateway.send("POST", "/v1/password-resets", forged, b"{}")).status == 200
    seen = gateway.identity.last
    assert "evil" not in repr(seen.headers)
    assert "6.6.6.6" not in repr(seen.headers)
    assert "forged" not in repr(seen.headers)
    assert seen.method == "POST"
    assert seen.all("muster-client-address") == ["127.0.0.1"]
    assert seen.all("muster-service-key") == ["identity-new"]
    assert {name for name, _ in seen.headers} == {
        "host", "user-agent", "content-type", "accept", "accept-encoding", "content-length", "traceparent",
        "muster-request-id", "muster-client-address", "muster-service-key",
    }  # fmt: skip


async def test_t53_the_host_that_a_client_names_is_not_passed_on(gateway: Gateway) -> None:
    raw = b"GET http://evil.example/v1/users HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert (await send_raw(gateway.port, raw)).status == 200
    assert re.fullmatch(r"127\.0\.0\.1:\d+", gateway.identity.last.get("host") or "")
    assert gateway.identity.last.target == "/v1/users"


@pytest.mark.parametrize(
    "path",
    [
        "/v1/../internal/head", "/v1/users/../../internal/head", "/v1/%2e%2e/internal/head", "/v1/.%2E/internal/head",
        "/v1/users/%2e%2e%2finternal", "/v1/users%2f..%2f..%2finternal", "/v1/users/a%2Fb", "/v1/users/a%5Cb",
        "/v1/users/%252e%252e", "/v1//users", "/v1/users//x", "/v1/./users", "/v1/users/%00", "/v1/users/a%0d%0ab",
        "/v1/users/%7f", "/v1/users/%zz", "/v1/users/%ff", "/v1/users/a%", "/v1/", "/v1/users\\x",
    ],
)  # fmt: skip
async def test_a_path_that_two_parsers_could_read_in_two_ways_is_refused(gateway: Gateway, path: str) -> None:
    answer = await gateway.ask("GET", path)
    assert answer.status == 400
    assert answer.json()["code"] == "invalid_request"
    assert not gateway.identity.seen


@pytest.mark.parametrize(
    "path", ["/%76%31/users", "//v1/users", "/V1/users", "/x/../v1/users", "/%2e%2e/v1/users"]
)
async def test_only_what_begins_with_v1_byte_for_byte_is_forwarded(gateway: Gateway, path: str) -> None:
    assert (await gateway.ask("GET", path)).status == 404
    assert not gateway.identity.seen


async def test_percent_encoding_is_passed_on_untouched(gateway: Gateway) -> None:
    await gateway.ask("GET", "/v1/users/%C3%A9%41;x=1?q=%2e%2e%2F&cursor=a%00b&%3d")
    assert gateway.identity.last.target == "/v1/users/%C3%A9%41;x=1?q=%2e%2e%2F&cursor=a%00b&%3d"


@pytest.mark.parametrize(
    "lines",
    [
        "Content-Length: 3\r\nTransfer-Encoding: chunked",
        "Content-Length: 3\r\nContent-Length: 4",
        "Transfer-Encoding: gzip, identity",
        "Transfer-Encoding : chunked",
        "Content-Length: +3",
        "X-A: b\r\n folded: c",
        "X-A: a\x00b",
        "X A: b",
    ],
)
async def test_a_request_of_doubtful_length_or_form_is_refused(gateway: Gateway, lines: str) -> None:
    raw = f"POST /v1/users HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n\r\n0\r\n\r\n"
    raw += "GET /v1/x HTTP/1.1\r\n\r\n"
    answer = await send_raw(gateway.port, raw.encode("latin-1"))
    assert answer.status == 400
    assert not gateway.identity.seen


async def test_what_is_no_http_at_all_gets_a_problem(gateway: Gateway) -> None:
    for raw in (
        b"hello\r\n\r\n",
        b"FOO /v1/users HTTP/1.1\r\n\r\n",
        b"GET http://x HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02",
    ):
        answer = await send_raw(gateway.port, raw)
        assert answer.status == 400
        assert answer.json()["code"] == "invalid_request"
        assert answer.get("server") is None


async def test_a_head_without_end_is_cut_off(gateway: Gateway) -> None:
    raw = b"GET /v1/users HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 70_000
    answer = await send_raw(gateway.port, raw)
    assert answer.status == 431
    assert not gateway.identity.seen


@pytest.mark.parametrize(
    "name", ["Authorization", "Idempotency-Key", "If-Match", "Content-Type", "User-Agent"]
)
async def test_a_header_that_decides_something_may_be_sent_once(gateway: Gateway, name: str) -> None:
    answer = await gateway.send("GET", "/v1/users", [(name, "one"), (name.lower(), "two")])
    assert (answer.status, answer.json()["code"]) == (400, "invalid_request")
    assert not gateway.identity.seen


async def test_a_request_id_and_a_traceparent_of_the_client_are_kept_as_data(gateway: Gateway) -> None:
    await gateway.ask("GET", "/v1/users", x_request_id="their id/7", traceparent=TRACE)
    seen = gateway.identity.last
    assert seen.all("muster-client-request-id") == ["their id/7"]
    assert seen.all("muster-client-traceparent") == [TRACE]
    ours = seen.all("traceparent")
    assert len(ours) == 1
    assert ours[0] != TRACE
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", ours[0])
    assert seen.get("x-request-id") is None


@pytest.mark.parametrize("value", ["", "x" * 129, "caf\xe9", "tab\there"])
async def test_a_request_id_that_is_no_plain_text_is_dropped(gateway: Gateway, value: str) -> None:
    assert (await gateway.ask("GET", "/v1/users", x_request_id=value)).status == 200
    assert gateway.identity.last.get("muster-client-request-id") is None


@pytest.mark.parametrize(
    "value",
    [
        "nonsense", TRACE.upper(), "ff" + TRACE[2:], "00-" + "0" * 32 + TRACE[35:], TRACE[:36] + "0" * 16 + "-01",
        TRACE + "-more",
    ],
)  # fmt: skip
async def test_a_traceparent_of_wrong_form_is_dropped(gateway: Gateway, value: str) -> None:
    await gateway.ask("GET", "/v1/users", traceparent=value)
    assert gateway.identity.last.get("muster-client-traceparent") is None


@pytest.mark.parametrize("key", ["console-new", "console-old"])
async def test_the_console_is_believed_on_its_clients_address(gateway: Gateway, key: str) -> None:
    await gateway.ask(
        "GET", "/v1/users", muster_service_key=key, muster_client_address="2001:db8::1", user_agent="Firefox"
    )
    assert gateway.identity.last.all("muster-client-address") == ["2001:db8::1"]
    assert gateway.identity.last.get("user-agent") == "Firefox"
    assert gateway.identity.last.all("muster-service-key") == ["identity-new"]


@pytest.mark.parametrize("key", ["", "console", "console-new,console-old", "identity-new", "\xff"])
async def test_nobody_else_is_believed_on_an_address(gateway: Gateway, key: str) -> None:
    await gateway.ask("GET", "/v1/users", muster_service_key=key, muster_client_address="6.6.6.6")
    assert gateway.identity.last.all("muster-client-address") == ["127.0.0.1"]


async def test_without_a_console_key_nobody_is_the_console() -> None:
    async with gateway_with(MUSTER_SERVICE_KEYS__CONSOLE_GATEWAY="") as gateway:
        await gateway.ask("GET", "/v1/users", muster_service_key="", muster_client_address="6.6.6.6")
        assert gateway.identity.last.all("muster-client-address") == ["127.0.0.1"]


async def test_a_trusted_proxy_is_believed_on_the_nearest_address_that_is_not_its_own() -> None:
    async with gateway_with(MUSTER_GATEWAY__TRUSTED_PROXIES="127.0.0.0/8,10.0.0.0/8") as gateway:
        headers = [("X-Forwarded-For", "6.6.6.6, 203.0.113.9"), ("X-Forwarded-For", "10.1.1.1")]
        await gateway.send("GET", "/v1/users", headers)
        assert gateway.identity.last.all("muster-client-address") == ["203.0.113.9"]


async def test_two_requests_on_one_connection_keep_their_own_heads(gateway: Gateway) -> None:
    first = f"GET /v1/a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {make_token('mus')}\r\n\r\n"
    second = "GET /v1/b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    await send_raw(gateway.port, (first + second).encode())
    assert [seen.target for seen in gateway.identity.seen] == ["/v1/a", "/v1/b"]
    assert gateway.identity.last.get("authorization") is None
