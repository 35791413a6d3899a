"""Mail catcher of `make up`: takes every mail by SMTP, delivers none, and shows them at `/` and `/messages`
(`?to=` only those to one address).

Listens on 127.0.0.1 alone. Mails stay in `var/mail` over restarts, one JSON file each, the newest 1,000.
`PUT /refused/{address}` has it refuse mails to an address, as a server does that knows no such mailbox, until
`DELETE /refused/{address}`.
"""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import logging
import secrets
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP

from deploy.local import mail_page
from services.kit import settings, telemetry

HOST = "127.0.0.1"
KEPT = 1000
LARGEST_BYTES = 5 * 1024 * 1024
log = telemetry.logger(__name__)


@dataclass(frozen=True, slots=True)
class Message:
    """A mail as `GET /messages` shows it; `to` holds the addresses of the envelope."""

    id: str
    to: str
    sender: str
    subject: str
    text: str
    html: str | None
    received_at: str

    def document(self) -> dict[str, Any]:
        fields = asdict(self)
        return {"id": fields.pop("id"), "to": fields.pop("to"), "from": fields.pop("sender"), **fields}

    @classmethod
    def of_document(cls, document: dict[str, Any]) -> Message:
        return cls(sender=document.pop("from"), **document)


class Mailbox:
    """The caught mails, newest first, in memory and in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._messages: deque[Message] = deque()
        self.refused: set[str] = set()
        for file in sorted(folder.glob("*.json")):
            try:
                self._messages.appendleft(Message.of_document(json.loads(file.read_text("utf-8"))))
            except (ValueError, TypeError, KeyError):
                file.unlink()  # half-written when the machine went down

    def add(self, message: Message) -> None:
        (self._folder / f"{message.id}.json").write_text(json.dumps(message.document()), "utf-8")
        self._messages.appendleft(message)
        while len(self._messages) > KEPT:
            self._forget(self._messages.pop())

    def clear(self) -> None:
        while self._messages:
            self._forget(self._messages.pop())

    def newest_first(self) -> list[Message]:
        return list(self._messages)

    def find(self, message_id: str) -> Message | None:
        return next((message for message in self._messages if message.id == message_id), None)

    def _forget(self, message: Message) -> None:
        (self._folder / f"{message.id}.json").unlink(missing_ok=True)


class Catcher:
    """What aiosmtpd calls for each mail."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_RCPT(  # noqa: N802 # its name
        self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: list[str]
    ) -> str:
        if address.casefold() in self._mailbox.refused:
            return "550 5.1.1 No such mailbox here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Any) -> str:  # noqa: N802 # its name
        self._mailbox.add(parse(envelope.content, envelope.rcpt_tos, datetime.now(UTC)))
        return "250 OK"


def parse(content: bytes, recipients: list[str], now: datetime) -> Message:
    parsed: EmailMessage = email.message_from_bytes(content, policy=email.policy.default)
    return Message(
        id=f"{int(now.timestamp() * 1000):013d}{secrets.token_hex(4)}",  # sorts by time
        to=", ".join(recipients),
        sender=str(parsed["From"] or ""),
        subject=str(parsed["Subject"] or ""),
        text=_part(parsed, "plain") or "",
        html=_part(parsed, "html"),
        received_at=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    )


def _part(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    if part is None:
        return None
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, ValueError):  # a charset that nobody knows
        raw = part.get_payload(decode=True)
        return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else ""


def make_app(mailbox: Mailbox) -> web.Application:
    async def alive(_request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def messages(request: web.Request) -> web.Response:
        to = request.query.get("to", "")
        return web.json_response([each.document() for each in mailbox.newest_first() if to in each.to])

    async def clear(_request: web.Request) -> web.Response:
        mailbox.clear()
        return web.Response(status=204)

    async def refuse(request: web.Request) -> web.Response:
        address = request.match_info["address"].casefold()
        (mailbox.refused.add if request.method == "PUT" else mailbox.refused.discard)(address)
        return web.Response(status=204)

    async def page(request: web.Request) -> web.Response:
        shown = mailbox.find(request.match_info.get("id", ""))
        return _html(mail_page.render(mailbox.newest_first(), shown), mail_page.POLICY)

    async def content(request: web.Request) -> web.Response:
        message = mailbox.find(request.match_info["id"])
        if message is None or message.html is None:
            raise web.HTTPNotFound
        return _html(message.html, mail_page.CONTENT_POLICY)

    app = web.Application(middlewares=[only_here])
    app.add_routes(
        [
            web.get("/", page),
            web.get("/live", alive),
            web.get("/ready", alive),
            web.get("/messages", messages),
            web.delete("/messages", clear),
            web.put("/refused/{address}", refuse),
            web.delete("/refused/{address}", refuse),
            web.get("/messages/{id}", page),
            web.get("/messages/{id}/content", content),
        ]
    )
    return app


def _html(text: str, policy: str) -> web.Response:
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
    return web.Response(text=text, content_type="text/html", headers=headers)


@web.middleware
async def only_here(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse other host names: a page elsewhere could point its own name at 127.0.0.1 and read the mails."""
    if request.host.rsplit(":", 1)[0] not in (HOST, "localhost"):
        raise web.HTTPForbidden(text=f"This mail catcher answers as {HOST} only.")
    return await handler(request)


async def run(folder: Path, smtp_port: int, http_port: int) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    mailbox = Mailbox(folder)
    smtp = await loop.create_server(
        lambda: SMTP(
            Catcher(mailbox),
            hostname="localhost",
            data_size_limit=LARGEST_BYTES,
            enable_SMTPUTF8=True,
            loop=loop,
        ),
        HOST,
        smtp_port,
    )
    runner = web.AppRunner(make_app(mailbox), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, http_port).start()
    log.info("mail catcher listens", smtp=smtp_port, http=http_port)
    await stop.wait()
    smtp.close()
    await runner.cleanup()


def main() -> None:
    here = settings.load()
    telemetry.configure("mail", here.log_level)
    logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd writes each address
    asyncio.run(run(here.var / "mail", here.port_base + 3, here.port_base + 2))


if __name__ == "__main__":
    main()
