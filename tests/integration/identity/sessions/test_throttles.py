"""Wrong guesses: how many are compared, and what follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from services.identity.throttles import Limit, Throttles
from services.kit.settings import Throttles as Figures
from tests.support.identity import PASSWORD, Org, Place, running_identity
from tests.support.servers import PostgresServer
from tests.support.signing_in import sign_in, signed_in

WRONG = "this is not the password"
LOW = {"THROTTLES__ADDRESS_FAILURES": "20", "THROTTLES__ORGANIZATION_FAILURES": "30"}


@pytest.fixture(scope="module")
async def place(postgres_server: PostgresServer) -> AsyncIterator[Place]:
    async with running_identity(postgres_server) as place:
        yield place


@pytest.fixture
async def org(place: Place) -> Org:
    return await place.organization()


async def blocked_seconds(place: Place, id_: str) -> float | None:
    return await place.identity.pool.fetchval(
        "SELECT extract(epoch FROM blocked_until - now())::float8 FROM throttles WHERE id = $1", id_
    )


async def let_time_pass(place: Place) -> None:
    """Every delay is over."""
    await place.identity.pool.execute("UPDATE throttles SET blocked_until = now()")


async def test_of_many_parallel_guesses_five_are_compared_and_the_right_one_behind_them_is_not(
    place: Place, org: Org
) -> None:
    def guess(number: int, password: str) -> asyncio.Task[httpx.Response]:
        return asyncio.create_task(
            sign_in(place, org.slug, org.member.email, password, f"198.51.100.{number}")
        )

    async def failures() -> int:
        query = "SELECT failures FROM throttles WHERE id = $1"
        return await place.identity.pool.fetchval(query, f"password:{org.member.id}") or 0

    guesses = [guess(number, f"{WRONG} {number}") for number in range(40)]
    async with asyncio.timeout(30):
        while await failures() < 5:
            await asyncio.sleep(0.01)
    guesses += [guess(number, PASSWORD) for number in range(40, 60)]
    answers = await asyncio.gather(*guesses)
    assert {(a.status_code, a.json()["code"]) for a in answers} == {(401, "sign_in_refused")}
    assert await failures() == 5


async def test_after_five_wrong_passwords_the_delay_doubles_from_30_s_to_15_min(
    place: Place, org: Org
) -> None:
    id_ = f"password:{org.member.id}"
    for _ in range(4):
        await sign_in(place, org.slug, org.member.email, WRONG)
    assert await blocked_seconds(place, id_) is None
    for seconds in (30, 60, 120, 240, 480, 900, 900):
        await sign_in(place, org.slug, org.member.email, WRONG)
        blocked = await blocked_seconds(place, id_)
        assert blocked is not None
        assert seconds - 5 < blocked <= seconds
        refused = await sign_in(place, org.slug, org.member.email, PASSWORD)
        assert refused.json()["code"] == "sign_in_refused"
        assert await blocked_seconds(place, id_) == pytest.approx(blocked, abs=5)
        await let_time_pass(place)
    await signed_in(place, org, org.member)
    for _ in range(4):
        await sign_in(place, org.slug, org.member.email, WRONG)
    await signed_in(place, org, org.member)


async def test_all_ways_to_write_a_login_count_as_one(place: Place, org: Org) -> None:
    email = org.member.email
    for login in (
        email,
        email.upper(),
        f" {email}",
        email.replace("m", "\N{FULLWIDTH LATIN SMALL LETTER M}"),
        email.title(),
    ):
        await sign_in(place, org.slug, login, WRONG)
    assert (await sign_in(place, org.slug, email)).status_code == 401


async def test_a_stranger_who_keeps_guessing_does_not_keep_out_who_signs_in_where_they_did_before(
    place: Place, org: Org
) -> None:
    home, elsewhere = "192.0.2.10", "198.51.100.66"
    await sign_in(place, org.slug, org.member.email, PASSWORD, home)
    for _ in range(8):
        await sign_in(place, org.slug, org.member.email, WRONG, elsewhere)
    assert (await sign_in(place, org.slug, org.member.email, PASSWORD, "192.0.2.99")).status_code == 401
    assert (await sign_in(place, org.slug, org.member.email, PASSWORD, home)).status_code == 200
    for _ in range(5):
        await sign_in(place, org.slug, org.member.email, WRONG, home)
    assert (await sign_in(place, org.slug, org.member.email, PASSWORD, home)).status_code == 401


async def test_confirmation_and_change_of_password_count_like_sign_in(place: Place, org: Org) -> None:
    for n in range(5):
        path, body = ("confirm", {"password": WRONG}) if n % 2 else (
            "password", {"current_password": WRONG, "password": "something entirely new"}
        )  # fmt: skip
        await place.call("POST", f"/v1/me/{path}", org.member, body)
    refused = await place.call("POST", "/v1/me/confirm", org.member, {"password": PASSWORD})
    assert (refused.status_code, refused.json()["code"]) == (403, "confirmation_refused")
    assert (await sign_in(place, org.slug, org.member.email)).status_code == 401


async def test_an_address_and_an_organization_that_fail_too_often_are_told_so(
    postgres_server: PostgresServer,
) -> None:
    async with running_identity(postgres_server, **LOW) as place:
        org, other = await place.organization(), await place.organization()
        for n in range(20):
            answer = await sign_in(place, org.slug, f"nobody{n}@x.example", WRONG, "198.51.100.7")
            assert answer.status_code == 401
        refused = await sign_in(place, org.slug, org.member.email, PASSWORD, "198.51.100.7")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["retry-after"]) <= 600
        assert (await sign_in(place, org.slug, org.member.email, PASSWORD, "198.51.100.8")).status_code == 200
        for n in range(10):
            await sign_in(place, org.slug, f"nobody{n}@y.example", WRONG, f"192.0.2.{n}")
        refused = await sign_in(place, org.slug, org.member.email, PASSWORD, "198.51.100.9")
        assert refused.status_code == 429
        assert (
            await sign_in(place, other.slug, other.member.email, PASSWORD, "192.0.2.1")
        ).status_code == 200
        at_home = await sign_in(place, org.slug, org.member.email, PASSWORD, "198.51.100.8")
        assert at_home.status_code == 200, (
            "strangers who fill the window do not keep out who signed in there before"
        )
        confirmed = await place.call("POST", "/v1/me/confirm", org.member, {"password": PASSWORD})
        assert confirmed.status_code == 204, "nor who is signed in"
        await place.identity.pool.execute("UPDATE throttles SET window_start = now() - interval '601 s'")
        assert (await sign_in(place, org.slug, org.member.email, PASSWORD, "198.51.100.7")).status_code == 200


async def test_a_factor_multiplies_what_is_let_through(postgres_server: PostgresServer) -> None:
    async with running_identity(postgres_server, THROTTLES__FACTOR="2") as place:
        org = await place.organization()
        for _ in range(9):
            await sign_in(place, org.slug, org.member.email, WRONG)
        await signed_in(place, org, org.member)
        for _ in range(10):
            await sign_in(place, org.slug, org.member.email, WRONG)
        assert (await sign_in(place, org.slug, org.member.email)).status_code == 401


@asynccontextmanager
async def throttles_of(place: Place) -> AsyncIterator[Throttles]:
    yield Throttles(place.identity.pool, Figures(), b"k" * 32)


async def test_a_place_that_was_never_given_back_is_free_after_ten_seconds(place: Place) -> None:
    async with throttles_of(place) as throttles:
        limit = Limit("password:usr_crashed", 1)
        assert not (await throttles.begin((), limit)).delayed
        await place.identity.pool.execute(
            "UPDATE throttles SET pending = ARRAY[now() - interval '11 s'] WHERE id = $1", limit.id
        )
        attempt = await throttles.begin((), limit)
        assert not attempt.delayed
        await throttles.end(attempt, failed=False)


async def test_counts_that_nobody_comes_back_to_are_forgotten(place: Place) -> None:
    async with throttles_of(place) as throttles:
        await place.identity.pool.execute(
            "INSERT INTO throttles (id, window_start, blocked_until) VALUES "
            "('password:old', now() - interval '25 h', NULL), "
            "('password:blocked', now() - interval '25 h', now() + interval '1 min'), "
            "('known:usr_1', now() - interval '25 h', NULL), ('known:usr_2', now() - interval '91 d', NULL)"
        )
        await throttles.forget()
        rows = await place.identity.pool.fetch(
            "SELECT id FROM throttles WHERE id = ANY($1) ORDER BY id",
            ["password:old", "password:blocked", "known:usr_1", "known:usr_2"],
        )
        assert [row["id"] for row in rows] == ["known:usr_1", "password:blocked"]


async def test_a_guess_that_is_under_way_during_a_sign_in_still_counts_when_it_fails(place: Place) -> None:
    async with throttles_of(place) as throttles:
        limit = Limit("password:usr_guessed", 1)
        attempt = await throttles.begin((), limit)
        await throttles.signed_in("usr_guessed", None)
        await throttles.end(attempt, failed=True)
        assert (await throttles.begin((), limit)).delayed


async def test_who_waits_for_one_window_holds_no_place_in_another(place: Place) -> None:
    """Else two attempts could wait for each other."""
    async with throttles_of(place) as throttles:
        address, org = Limit("address:both", 1, 600.0), Limit("org:both", 1, 600.0)
        blocker = await throttles.begin((org,), Limit("password:usr_blocker", 5))
        waiting = asyncio.create_task(throttles.begin((address, org), Limit("password:usr_waiting", 5)))
        async with asyncio.timeout(10):
            while (
                await place.identity.pool.fetchval("SELECT count(*) FROM throttles WHERE id = $1", address.id)
                == 0
            ):
                await asyncio.sleep(0.005)
            passing = await throttles.begin((address,), Limit("password:usr_passing", 5))
            await throttles.end(passing, failed=False)
            await throttles.end(blocker, failed=False)
            await throttles.end(await waiting, failed=False)
