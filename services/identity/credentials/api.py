"""Routes about the proofs of people: passwords, second factors, recovery codes, and links in mails."""

from __future__ import annotations

from fastapi import FastAPI

from services.identity.credentials import admin, by_mail, factors, own
from services.identity.routes import Services


def add_routes(app: FastAPI, services: Services) -> None:
    for part in (own, factors, by_mail, admin):
        part.add_routes(app, services)
