"""The table of endpoints: by method and path, names before placeholders."""

from __future__ import annotations

from typing import Any

import pytest

from services.kit.direct import Table


def endpoint(name: str) -> Any:
    async def answer(_: object) -> None:
        """Never called here."""

    answer.__name__ = name
    return answer


TABLE = Table()
for method, path in (
    ("GET", "/v1/users"),
    ("POST", "/v1/users"),
    ("GET", "/v1/users/{user}"),
    ("GET", "/v1/users/{user}/sessions"),
    ("DELETE", "/v1/users/{user}/sessions/{session}"),
    ("GET", "/v1/users/me"),
    ("POST", "/v1/users/me/password"),
):
    TABLE.add(method, path, endpoint(f"{method} {path}"))


@pytest.mark.parametrize(
    ("method", "path", "name", "names"),
    [
        ("GET", "/v1/users", "GET /v1/users", {}),
        ("POST", "/v1/users", "POST /v1/users", {}),
        ("GET", "/v1/users/usr_1", "GET /v1/users/{user}", {"user": "usr_1"}),
        ("GET", "/v1/users/me", "GET /v1/users/me", {}),
        ("GET", "/v1/users/me/sessions", "GET /v1/users/{user}/sessions", {"user": "me"}),
        (
            "DELETE",
            "/v1/users/a/sessions/b",
            "DELETE /v1/users/{user}/sessions/{session}",
            {"user": "a", "session": "b"},
        ),
    ],
)
def test_an_endpoint_is_found_with_what_the_path_says(
    method: str, path: str, name: str, names: dict[str, str]
) -> None:
    found = TABLE.find(method, path)

    assert found is not None
    assert found[0].__name__ == name
    assert found[1] == names


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/users"),
        ("GET", "/v1/users/"),
        ("GET", "/v1/users//sessions"),
        ("GET", "/v1/users/a/sessions/"),
        ("GET", "/v1/users/a/b"),
        ("GET", "/v1"),
        ("GET", ""),
        ("HEAD", "/v1/users"),
    ],
)
def test_what_is_not_in_the_table_is_not_found(method: str, path: str) -> None:
    assert TABLE.find(method, path) is None


def test_a_place_has_one_name() -> None:
    table = Table()
    table.add("GET", "/v1/users/{user}", endpoint("one"))

    with pytest.raises(ValueError, match=r"\{person\} user"):
        table.add("GET", "/v1/users/{person}/sessions", endpoint("other"))
