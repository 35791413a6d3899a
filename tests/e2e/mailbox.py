"""The mail catcher, read over HTTP."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from tests.e2e.client import REACHED_WITHIN, wait_until

Mail = dict[str, Any]
LINK = re.compile(r"^(https?://\S+)#(mu[ir]_[0-9A-Za-z]{49})$", re.MULTILINE)


class Mailbox:
    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def all(self) -> list[Mail]:
        """Newest first."""
        return self._http.get("/messages").raise_for_status().json()

    def of(self, address: str) -> list[Mail]:
        """Those to one address; nothing while the catcher is being started again."""
        try:
            return self._http.get("/messages", params={"to": address}).raise_for_status().json()
        except httpx.TransportError:
            return []

    @contextmanager
    def refusing(self, address: str) -> Iterator[None]:
        """There is no such mailbox meanwhile."""
        self._http.put(f"/refused/{address}").raise_for_status()
        try:
            yield
        finally:
            self._http.delete(f"/refused/{address}").raise_for_status()

    def wait(
        self, address: str, *, link: str | None = None, about: str = "", seconds: float = REACHED_WITHIN
    ) -> Mail:
        """The newest mail to an address, with a link to this page and these words in it."""

        def arrived() -> Mail | None:
            fits = (
                mail for mail in self.of(address) if about.lower() in (mail["subject"] + mail["text"]).lower()
            )
            return next((mail for mail in fits if link is None or f"/{link}#" in mail["text"]), None)

        return wait_until(arrived, f"a mail to {address} with {link or about!r}", seconds)

    def token(self, address: str, link: str) -> str:
        """The token of the newest link to this page; it stands alone on a line of the text part."""
        found = LINK.search(self.wait(address, link=link)["text"])
        assert found, f"no link alone on a line in the mail to {address}"
        return found[2]
