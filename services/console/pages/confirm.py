"""Confirming the session, asked where the API asks for it; the form that led here waits."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.responses import Response

from services.console.gateway_client import Problem
from services.console.outcomes import KEEP, refused
from services.console.routes import add
from services.console.visit import Visit, events


async def confirm(visit: Visit) -> Response:
    name = "code" if "code" in visit.form else "password"
    proof = visit.form.text("code").replace(" ", "") if name == "code" else visit.form.secret("password")
    try:
        await visit.call("POST", "/v1/me/confirm", {name: proof})
    except Problem as problem:
        return await refused(visit, problem, form="form-confirm")
    again = {"dialog": "dialog-confirm", "form": visit.form.text("form")}
    return Response(headers=KEEP | events(confirmed=again))


def add_pages(app: FastAPI) -> None:
    add(app, "POST", "/_/confirm", confirm)
