"""What keeps others out: cookies, forms of other sites, the policy of what is loaded, and whose address is noted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from services.console.assets import STATIC
from services.console.csrf import Csrf, Forged
from services.console.session import Cookies
from services.kit.tokens import make_token
from tests.console.desk import ACCOUNT, USERS
from tests.e2e.acts import audit_of
from tests.e2e.people import Org, Person

CSRF = re.compile(r'name="muster-csrf" content="([^"]+)"')
ELSEWHERE = "127.0.0.2"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) Test/1.0"


@pytest.fixture
def visitor(console: str) -> Iterator[httpx.Client]:
    """A browser at another address of this machine."""
    transport = httpx.HTTPTransport(local_address=ELSEWHERE)
    with httpx.Client(base_url=console, transport=transport, headers={"User-Agent": AGENT}) as http:
        yield http


def form(http: httpx.Client, page: str, **fields: str) -> dict[str, str]:
    found = CSRF.search(http.get(page).text)
    assert found
    return {"csrf": found[1], **fields}


def sign_in(http: httpx.Client, org: Org, person: Person) -> httpx.Response:
    given = form(http, "/sign-in", organization=org.slug, login=person.email, password=person.password)
    return http.post("/sign-in", data=given, headers={"Origin": str(http.base_url).rstrip("/")})


def test_the_audit_shows_the_persons_address_and_browser(
    visitor: httpx.Client, console: str, acme: Org, member: Person
) -> None:
    admin = acme.accept(acme.invite("admin"))
    assert sign_in(visitor, acme, admin).status_code == 303
    given = form(visitor, USERS, reason="from elsewhere", was_active="on", name="Moved", was_name=member.name)
    forged = {"X-Forwarded-For": "198.51.100.9", "Muster-Client-Address": "198.51.100.9", "Origin": console}
    answer = visitor.post(f"/_/users/{member.id}/edit", data=given, headers=forged)
    assert answer.status_code == 200
    position = acme.owner.client.send("GET", "/v1/me").headers["Muster-Position"]
    records = audit_of(acme.owner.client, position, target=member.id, actor=admin.id)
    assert {record["ip"] for record in records} == {ELSEWHERE}
    assert {record["user_agent"] for record in records} == {AGENT}
    assert {record["type"] for record in records} >= {"user.renamed", "user.deactivated"}
    (session,) = acme.owner.client.get(f"/v1/users/{admin.id}/sessions")["data"]
    assert (session["ip"], session["user_agent"]) == (ELSEWHERE, AGENT)


def test_the_session_cookie_is_for_the_browser_alone(
    visitor: httpx.Client, console: str, acme: Org, member: Person
) -> None:
    answer = sign_in(visitor, acme, member)
    (cookie,) = [c for c in answer.headers.get_list("set-cookie") if c.startswith("muster-")]
    name = f"muster-{urlsplit(console).port}"
    assert cookie.startswith(f"{name}=mus_")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_on_https_the_cookie_belongs_to_this_host_and_is_secure() -> None:
    cookies, response = Cookies("https://muster.example"), Response()
    cookies.sign_in(response, make_token("mus"), None)
    (cookie,) = response.headers.getlist("set-cookie")
    assert cookie.startswith("__Host-muster=mus_")
    assert "Secure" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
    ],
)
def test_a_form_of_another_site_is_refused(
    visitor: httpx.Client, acme: Org, member: Person, headers: dict[str, str]
) -> None:
    sign_in(visitor, acme, member)
    given = form(visitor, ACCOUNT)
    assert visitor.post("/sign-out", data=given, headers=headers).status_code == 403
    assert visitor.get(ACCOUNT).status_code == 200


@pytest.mark.parametrize("token", ["", "x" * 43, "of another browser"])
def test_a_form_without_its_token_is_refused(
    visitor: httpx.Client, console: str, acme: Org, member: Person, token: str
) -> None:
    sign_in(visitor, acme, member)
    if token.startswith("of"):
        with httpx.Client(base_url=console) as other:
            token = form(other, "/sign-in")["csrf"]
    answer = visitor.post("/sign-out", data={"csrf": token}, headers={"Origin": console})
    assert answer.status_code == 403
    assert visitor.get(ACCOUNT).status_code == 200


def test_a_token_of_a_key_that_is_being_rotated_is_good() -> None:
    headers = [(b"sec-fetch-site", b"same-origin")]
    request = Request({"type": "http", "method": "POST", "path": "/", "headers": headers})
    old, new = Csrf("http://127.0.0.1:1", ["old"]), Csrf("http://127.0.0.1:1", ["new", "old"])
    new.check(request, old.token("holder"), "holder")
    with pytest.raises(Forged):
        old.check(request, new.token("holder"), "holder")


@pytest.mark.parametrize("path", ["/sign-in", "/invitation", "/nothing", "/live", "/static/muster.js"])
def test_every_answer_carries_the_policy(console: str, path: str) -> None:
    headers = httpx.get(console + path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    if not path.startswith("/static"):
        assert headers["cache-control"] == "no-store"


def test_a_page_names_no_other_site_and_holds_no_script_or_style(console: str) -> None:
    for path in ("/sign-in", "/invitation", "/forgot-password"):
        page = httpx.get(console + path).text
        assert not re.search(r'(src|href|action)="(?!/|#)', page)
        assert not re.search(r"<style|<script(?![^>]*src=)| style=| on\w+=", page)


def test_a_body_that_is_too_large_or_no_form_is_refused(console: str) -> None:
    headers = {"Origin": console, "Content-Type": "application/x-www-form-urlencoded"}
    assert httpx.post(f"{console}/sign-in", content=b"x=" + b"y" * 100_000, headers=headers).status_code < 500
    answer = httpx.post(f"{console}/sign-in", json={"login": "x"}, headers={"Origin": console})
    assert answer.status_code < 500
    assert answer.status_code >= 400


def test_an_id_in_an_address_is_never_more_than_an_id(
    visitor: httpx.Client, acme: Org, member: Person
) -> None:
    admin = acme.accept(acme.invite("admin"))
    sign_in(visitor, acme, admin)
    for bad in ("..%2f..%2fv1%2fme", "%2e%2e", "usr_1%3fdry_run", "%00", "a%23b", "%f0%9f%92%a9"):
        answer = visitor.get(f"/_/users/{bad}/edit")
        assert answer.status_code in (200, 404)
        assert "dialog-edit" not in answer.text


def test_vendored_files_are_what_the_manifest_says() -> None:
    folder = STATIC / "vendor"
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    listed = {file["path"]: file["sha256"] for package in manifest["packages"] for file in package["files"]}
    found = {str(path.relative_to(folder)): digest(path) for path in folder.rglob("*") if path.is_file()}
    del found["manifest.json"]
    assert found == listed
    for package in manifest["packages"]:
        assert package["name"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
        assert package["license"] in ("MIT", "0BSD")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
