"""Signing in and out: organization, login and password; then the second factor, or setting one up."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from fastapi import FastAPI
from starlette.responses import RedirectResponse, Response

from services.console import texts
from services.console.gateway_client import Caller, Json, Problem
from services.console.routes import NEXT_STEP, add
from services.console.visit import SIGN_IN, START, Visit, local

CODE, ENROLL = f"{SIGN_IN}/code", f"{SIGN_IN}/enroll"
STEPS = {"otp": CODE, "enroll": ENROLL}


async def show(visit: Visit) -> Response:
    if visit.caller.token and await _is_signed_in(visit):
        return RedirectResponse(_then(visit), 303)
    return _page(visit)


async def _is_signed_in(visit: Visit) -> bool:
    try:
        await visit.get("/v1/me")
    except Problem:
        return False
    return True


async def sign_in(visit: Visit) -> Response:
    form = visit.form
    asked = {
        "organization": form.text("organization"), "login": form.text("login"), "password": form.secret("password"),
    }  # fmt: skip
    anyone = Caller(None, visit.caller.address, visit.caller.user_agent)
    try:
        answer = (await visit.console.gateway.call(anyone, "POST", "/v1/sign-in", asked)).body
    except Problem as problem:
        return _page(visit, problem)
    return go_on(visit, answer)


def go_on(visit: Visit, answer: Json) -> Response:
    """The browser holds the new token, and the next step follows."""
    then = _then(visit)
    step = STEPS.get(answer["next"])
    keep = "" if then == START else f"?next={quote(then)}"
    response = RedirectResponse(f"{step}{keep}" if step else then, 303)
    visit.console.cookies.sign_in(response, answer["token"], answer["session"]["expires_at"])
    return response


async def show_code(visit: Visit) -> Response:
    return await _in_half(visit, "second_factor_required") or visit.page(
        "sign_in/code.html", **_code_values(visit)
    )


async def enter_code(visit: Visit) -> Response:
    form = visit.form
    by_recovery = "recovery_code" in form
    proof = (
        {"recovery_code": form.text("recovery_code")}
        if by_recovery
        else {"code": form.text("code").replace(" ", "")}
    )
    try:
        answer = (await visit.call("POST", "/v1/sign-in/otp", proof)).body
    except Problem as problem:
        if problem.code != "code_refused":
            raise
        values = _code_values(visit) | {
            "refusal": texts.refusal(problem.document),
            "by_recovery": by_recovery,
        }
        return visit.page("sign_in/code.html", 401, **values)
    return go_on(visit, answer)


def _code_values(visit: Visit) -> dict[str, Any]:
    return {
        "refusal": None, "next": _then(visit), "by_recovery": "recovery" in visit.request.query_params,
    }  # fmt: skip


async def show_enroll(visit: Visit) -> Response:
    return await _in_half(visit, "enrollment_required") or visit.page(
        "sign_in/enroll.html", next=_then(visit)
    )


async def _in_half(visit: Visit, step: str) -> Response | None:
    """Where else the person belongs, None where this step is theirs."""
    if visit.caller.token is None:
        return RedirectResponse(SIGN_IN, 303)
    try:
        await visit.get("/v1/me")
    except Problem as problem:
        if problem.code == step:
            return None
        return RedirectResponse(NEXT_STEP.get(problem.code, SIGN_IN), 303)
    return RedirectResponse(_then(visit), 303)


async def sign_out(visit: Visit) -> Response:
    try:
        await visit.call("POST", "/v1/sign-out")
    except Problem as problem:
        if problem.status != 401:  # noqa: PLR2004 (a session that has ended is signed out)
            raise
    response = RedirectResponse(f"{SIGN_IN}?signed-out", 303)
    visit.console.cookies.sign_out(response)
    return response


def _page(visit: Visit, problem: Problem | None = None) -> Response:
    query, form = visit.request.query_params, visit.form
    return visit.page(
        "sign_in/page.html", problem.status if problem else 200,
        organization=form.text("organization") or query.get("organization", ""), login=form.text("login"),
        next=_then(visit), refusal=texts.refusal(problem.document) if problem else None,
        signed_out="signed-out" in query,
    )  # fmt: skip


def _then(visit: Visit) -> str:
    given = visit.form.text("next") or visit.request.query_params.get("next", "")
    return local(given) if given else START


def add_pages(app: FastAPI) -> None:
    for method, path, handler in (
        ("GET", SIGN_IN, show), ("POST", SIGN_IN, sign_in), ("GET", CODE, show_code), ("POST", CODE, enter_code),
        ("GET", ENROLL, show_enroll), ("POST", "/sign-out", sign_out),
    ):  # fmt: skip
        add(app, method, path, handler, signed_in=False)
