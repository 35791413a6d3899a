"""A client of the HTTP API as a stranger would write it: httpx, JSON and `api.md`, nothing of ours."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
Json = dict[str, Any]
REACHED_WITHIN = 30.0
"""Seconds within which everything that follows a command has to be there, on a busy machine too."""
CAUGHT_UP_WITHIN = 90.0
"""The same after an outage."""


def wait_until(what: Callable[[], T | None], why: str, seconds: float = REACHED_WITHIN) -> T:
    """Ask again until the answer is something, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {why}"
        time.sleep(0.02)
    return found


def together(*calls: Callable[[], T]) -> list[T]:
    """Make all calls at the same time and return what each of them gave."""
    with ThreadPoolExecutor(len(calls)) as threads:
        return [begun.result() for begun in [threads.submit(call) for call in calls]]


def sessionless(gateway: str) -> httpx.Client:
    return httpx.Client(base_url=gateway, timeout=30.0, limits=httpx.Limits(max_connections=64))


class Client:
    """One credential, or none, at the gateway."""

    def __init__(self, http: httpx.Client, token: str | None = None) -> None:
        self.http = http
        self.token = token

    def with_token(self, token: str | None) -> Client:
        return Client(self.http, token)

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call, and check what holds for every answer."""
        sent = dict(headers or {})
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        answer = self.http.request(
            method,
            path,
            json=body,
            params=params,
            data=form,
            headers=sent,
        )
        assert answer.status_code < 500 or answer.status_code == 503, f"{method} {path}: {answer.text}"
        assert "Muster-Position" in answer.headers or answer.status_code in (429, 503), (
            f"{method} {path}: {answer.status_code} without Muster-Position"
        )
        return answer

    def call(self, method: str, path: str, body: object = None, *, status: int = 200, **more: Any) -> Any:
        """Call, expect this status, and return the JSON of the answer (None without a body)."""
        answer = self.send(method, path, body, **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def get(self, path: str, **params: Any) -> Any:
        return self.call("GET", path, params=params)

    def post(self, path: str, body: object = None, *, status: int = 200, **more: Any) -> Any:
        return self.call("POST", path, body, status=status, **more)

    def patch(self, path: str, body: object, **more: Any) -> Any:
        return self.call("PATCH", path, body, **more)

    def delete(self, path: str, body: object = None, *, status: int = 200, **more: Any) -> Any:
        return self.call("DELETE", path, body, status=status, **more)

    def refused(
        self, method: str, path: str, body: object = None, *, code: str, status: int, **more: Any
    ) -> Json:
        """Call, expect this problem, and return its document."""
        return problem(self.send(method, path, body, **more), code, status)


def problem(answer: httpx.Response, code: str, status: int) -> Json:
    """Check that an answer is this problem, as RFC 9457 and `api.md` have it, and return it."""
    told = f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text}"
    assert answer.headers["content-type"].startswith("application/problem+json"), told
    document = answer.json()
    assert (answer.status_code, document.get("code")) == (status, code), told
    assert document["type"] == f"/problems/{code}", told
    assert document["status"] == status, told
    assert document["title"], told
    assert document["detail"], told
    assert document["request_id"], told
    return document


def codes_of(answers: list[httpx.Response]) -> list[str]:
    """What each answer came to: `200`, or the code of its problem."""
    return [
        str(each.status_code) if each.is_success else f"{each.status_code} {each.json()['code']}"
        for each in answers
    ]
