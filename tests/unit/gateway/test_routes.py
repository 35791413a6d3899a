from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.routes import check, for_log, service_of
from services.kit.errors import Invalid

USER = "usr_" + "0" * 26


@given(st.text(alphabet="abv1./%25eEfF\\;:@ \x00\x7fé", max_size=30))
def test_what_passes_means_the_same_decoded_once_or_twice(tail: str) -> None:
    path = f"/v1/{tail}"
    with suppress(Invalid):
        check(path, "")
        decoded = unquote(path)
        assert unquote(decoded) == decoded
        assert decoded.count("/") == path.count("/")
        assert not {".", ".."} & set(decoded.split("/"))
        assert decoded.isprintable()
        assert "\\" not in decoded


@pytest.mark.parametrize("query", ["a=b", "", "q=%00", "q=a+b", "f[]=1", "q='x'|{y}"])
def test_a_query_may_hold_any_visible_character(query: str) -> None:
    check("/v1/users", query)


@pytest.mark.parametrize("query", ["a b", "a\r\nb", "caf\xe9", "a#b", "\x7f"])
def test_a_query_may_hold_no_other(query: str) -> None:
    with pytest.raises(Invalid):
        check("/v1/users", query)


def test_the_word_after_v1_decides_who_answers() -> None:
    words = ("audit", "session-kills", "audits", "users")
    assert [service_of(f"/v1/{word}/x") for word in words] == ["audit", "notifier", "identity", "identity"]


@pytest.mark.parametrize(
    ("path", "status", "line"),
    [
        (f"/v1/users/{USER}/reset-mfa", 409, f"/v1/users/{USER}/reset-mfa"),
        ("/v1/me/password", 204, "/v1/me/password"),
        ("/v1/me/password", 403, "/v1/me/*"),
        ("/v1/users/ada", 404, "/v1/users/*"),
        ("/v1/users/ada%40x.org", 200, "/v1/users/*"),
        ("/" + "a/" * 20, 200, "/a/a/a/a/a/a/a/a"),
    ],
)
def test_a_path_is_logged_without_what_a_client_may_have_put_there(path: str, status: int, line: str) -> None:
    assert for_log(path, status) == line
