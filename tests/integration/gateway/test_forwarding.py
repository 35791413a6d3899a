from __future__ import annotations

import pytest

from services.kit.ids import is_id
from tests.integration.gateway.conftest import Gateway, send_raw


async def test_a_request_reaches_identity_as_it_was_sent(gateway: Gateway) -> None:
    body = b'{"name": "Ada \xc3\xa9",\n "x":1}'
    await gateway.ask(
        "PATCH", "/v1/users/usr_1?dry_run=true&q=a%20b%2Fc&q=d", body,
        authorization="Bearer token", content_type="application/merge-patch+json", idempotency_key="k 1",
        if_match='"17"', user_agent="curl/8",
    )  # fmt: skip
    seen = gateway.identity.last
    assert (seen.method, seen.target, seen.body) == (
        "PATCH", "/v1/users/usr_1?dry_run=true&q=a%20b%2Fc&q=d", body,
    )  # fmt: skip
    assert seen.get("authorization") == "Bearer token"
    assert seen.get("content-type") == "application/merge-patch+json"
    assert seen.get("idempotency-key") == "k 1"
    assert seen.get("if-match") == '"17"'
    assert seen.get("user-agent") == "curl/8"


@pytest.mark.parametrize(
    ("path", "service", "key"),
    [
        ("/v1/users", "identity", "identity-new"),
        ("/v1/sign-in", "identity", "identity-new"),
        ("/v1/auditors", "identity", "identity-new"),
        ("/v1/users/audit", "identity", "identity-new"),
        ("/v1/%61udit", "identity", "identity-new"),
        ("/v1/audit", "audit", "audit-key"),
        ("/v1/audit/count", "audit", "audit-key"),
        ("/v1/audit/proof/inclusion", "audit", "audit-key"),
        ("/v1/session-kills/kil_1", "notifier", "notifier-key"),
        ("/v1/undelivered-messages", "notifier", "notifier-key"),
    ],
)
async def test_each_path_goes_to_its_service_with_that_services_key(
    gateway: Gateway, path: str, service: str, key: str
) -> None:
    assert (await gateway.ask("GET", path)).status == 200
    reached = {name for name in ("identity", "audit", "notifier") if getattr(gateway, name).seen}
    assert reached == {service}
    assert getattr(gateway, service).last.all("muster-service-key") == [key]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v2/users", "/internal/head", "/internal/openapi.json", "/metrics"]
)
async def test_what_is_not_ours_is_not_found(gateway: Gateway, path: str) -> None:
    answer = await gateway.ask("GET", path)
    assert answer.status == 404
    assert answer.json()["code"] == "not_found"
    assert answer.get("content-type") == "application/problem+json"
    assert not gateway.identity.seen


async def test_an_answer_reaches_the_client_as_it_was_given(gateway: Gateway) -> None:
    given = [
        ("content-type", "application/json"), ("etag", '"17"'), ("location", "/v1/jobs/job_1"),
        ("retry-after", "7"), ("muster-position", "abc"), ("idempotency-replayed", "true"),
        ("cache-control", "private, max-age=5"), ("www-authenticate", "Bearer"), ("allow", "GET, PATCH"),
    ]  # fmt: skip
    gateway.identity.status, gateway.identity.headers, gateway.identity.body = 418, given, b"\x00\xffbytes"
    answer = await gateway.ask("POST", "/v1/users", b"{}")
    assert answer.status == 418
    assert answer.body == b"\x00\xffbytes"
    assert [(name, answer.all(name)) for name, _ in given] == [(name, [value]) for name, value in given]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 303, 304, 400, 404, 405, 412, 429, 500, 503])
async def test_every_status_is_passed_on_and_no_redirect_is_followed(gateway: Gateway, status: int) -> None:
    gateway.identity.status = status
    gateway.identity.headers = [("location", "/v1/elsewhere")]
    answer = await gateway.ask("GET", "/v1/users")
    assert answer.status == status
    assert answer.get("location") == "/v1/elsewhere"
    assert len(gateway.identity.seen) == 1


async def test_a_compressed_answer_is_passed_on_as_bytes(gateway: Gateway) -> None:
    gateway.identity.headers = [("content-encoding", "gzip")]
    gateway.identity.body = b"not really gzip"
    answer = await gateway.ask("GET", "/v1/users")
    assert answer.body == b"not really gzip"
    assert answer.get("content-encoding") == "gzip"


async def test_hop_by_hop_headers_server_and_cookies_stay_behind(gateway: Gateway) -> None:
    gateway.identity.headers = [
        ("connection", "close"), ("keep-alive", "timeout=5"), ("server", "identity/1"), ("set-cookie", "a=b"),
        ("upgrade", "h2c"), ("muster-request-id", "req_of_the_service"),
    ]  # fmt: skip
    answer = await gateway.ask("GET", "/v1/users")
    for name in ("keep-alive", "server", "set-cookie", "upgrade"):
        assert answer.get(name) is None, name
    assert len(answer.all("date")) == 1
    assert answer.all("muster-request-id") != ["req_of_the_service"]


async def test_answers_carry_our_request_id_and_safe_defaults(gateway: Gateway) -> None:
    first, second = await gateway.ask("GET", "/v1/users"), await gateway.ask("GET", "/v1/users")
    ids = [answer.all("muster-request-id") for answer in (first, second)]
    assert all(len(values) == 1 and is_id(values[0], "req") for values in ids)
    assert ids[0] != ids[1]
    assert gateway.identity.last.all("muster-request-id") == ids[1]
    assert first.get("cache-control") == "no-store"
    assert first.get("x-content-type-options") == "nosniff"
    assert not [name for name, _ in first.headers if name.startswith("access-control")]


async def test_a_large_answer_of_unknown_length_is_streamed_whole(gateway: Gateway) -> None:
    async def many(scope, receive, send) -> None:
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]}
        )
        for _ in range(64):
            await send({"type": "http.response.body", "body": b"x" * 16384, "more_body": True})
        await send({"type": "http.response.body", "body": b"end"})

    gateway.identity.answer = many
    answer = await gateway.ask("GET", "/v1/jobs/job_1/results")
    assert answer.body == b"x" * 16384 * 64 + b"end"


async def test_a_large_answer_of_known_length_keeps_its_length(gateway: Gateway) -> None:
    gateway.identity.body = b"y" * 300_000
    answer = await gateway.ask("GET", "/v1/jobs/job_1/results")
    assert answer.get("content-length") == "300000"
    assert answer.body == b"y" * 300_000


async def test_head_and_options_and_other_methods_are_the_services_business(gateway: Gateway) -> None:
    gateway.identity.status = 405
    for method in ("HEAD", "OPTIONS", "PUT", "PROPFIND"):
        answer = await gateway.ask(method, "/v1/users")
        assert (answer.status, gateway.identity.last.method) == (405, method)
        assert answer.body == (b"" if method == "HEAD" else gateway.identity.body)


async def test_trace_is_refused_before_any_service_hears_of_it(gateway: Gateway) -> None:
    answer = await gateway.ask("TRACE", "/v1/users", authorization="Bearer secret-token")
    assert (answer.status, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer.get("allow")
    assert b"secret-token" not in answer.body
    assert not gateway.identity.seen


@pytest.mark.parametrize(("size", "status"), [(0, 200), (1_048_576, 200), (1_048_577, 413), (3_000_000, 413)])
async def test_a_body_may_hold_one_mebibyte(gateway: Gateway, size: int, status: int) -> None:
    answer = await gateway.ask("POST", "/v1/users/import", b"x" * size, content_type="text/csv")
    assert answer.status == status
    if status == 200:
        assert len(gateway.identity.last.body) == size
    else:
        assert answer.json()["code"] == "too_large"
        assert not gateway.identity.seen


async def test_a_body_sent_in_chunks_is_counted_and_passed_on(gateway: Gateway) -> None:
    head = "POST /v1/users HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = await send_raw(gateway.port, head.encode() + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    assert answer.status == 200
    assert gateway.identity.last.body == b"abcde"
    assert gateway.identity.last.get("transfer-encoding") is None
    chunk = b"40000\r\n" + b"z" * 0x40000 + b"\r\n"
    answer = await send_raw(gateway.port, head.encode() + chunk * 5 + b"0\r\n\r\n")
    assert answer.status == 413
    assert len(gateway.identity.seen) == 1


async def test_a_body_needs_no_content_type(gateway: Gateway) -> None:
    await gateway.ask("POST", "/v1/users", b"{}")
    assert not gateway.identity.last.get("content-type")
    assert not gateway.identity.last.get("user-agent")
    assert gateway.identity.last.get("accept-encoding") == "identity"
