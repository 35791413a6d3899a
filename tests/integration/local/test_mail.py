"""The mail catcher takes every mail, shows the newest first, and keeps them over a restart."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from functools import partial
from pathlib import Path

import aiohttp
import aiosmtplib
import pytest

from deploy.local import mail
from deploy.local.ports import free_ports
from deploy.local.state import Var
from deploy.local.supervisor import Spec, Supervisor, http_ready


@pytest.fixture
async def base(tmp_path: Path) -> AsyncIterator[int]:
    """The port base of a running catcher, whose data is under `tmp_path`."""
    port = free_ports(4)[0]
    var = Var(tmp_path / "var")
    var.open()
    environment = os.environ | {"MUSTER_PORT_BASE": str(port), "MUSTER_VAR": str(var.folder)}
    command = [sys.executable, "-m", "deploy.local.mail"]
    supervisor = Supervisor(var)
    await supervisor.start(Spec("mail", command, environment, partial(http_ready, port + 2)))
    yield port
    await supervisor.stop()


async def send(port: int, subject: str, html: str | None = None, to: str = "z@acme.example") -> None:
    message = EmailMessage()
    message["From"], message["To"] = "Muster <no-reply@muster.example>", "zoë@acme.example"
    message["Subject"] = subject
    message.set_content("Hello\n\nhttp://127.0.0.1:8801/reset-password#mur_1\n")
    if html:
        message.add_alternative(html, subtype="html")
    await aiosmtplib.send(message, hostname="127.0.0.1", port=port + 3, start_tls=False, recipients=[to])


async def get(port: int, path: str, **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{port + 2}{path}", headers=headers) as r,
    ):
        return r.status, await r.text()


async def messages(port: int, query: str = "") -> list[dict]:
    return json.loads((await get(port, f"/messages{query}"))[1])


async def test_a_mail_is_shown_with_all_its_parts_newest_first(base: int) -> None:
    await send(base, "Grüße", "<p>Hello</p>")
    await send(base, "Second")

    second, first = await messages(base)

    assert second["subject"] == "Second"
    assert second["html"] is None
    assert set(first) == {"id", "to", "from", "subject", "text", "html", "received_at"}
    assert (first["to"], first["subject"]) == ("z@acme.example", "Grüße")
    assert "http://127.0.0.1:8801/reset-password#mur_1" in first["text"].splitlines()
    assert first["html"].strip() == "<p>Hello</p>"


async def test_mails_to_one_address_can_be_asked_for(base: int) -> None:
    await send(base, "Theirs", to="y@acme.example")
    await send(base, "Mine")

    assert [message["subject"] for message in await messages(base, "?to=z@acme.example")] == ["Mine"]
    assert len(await messages(base)) == 2


async def test_the_page_escapes_what_a_mail_says_and_keeps_its_html_in_a_sandbox(base: int) -> None:
    await send(base, "<script>alert(1)</script>", "<script>alert(2)</script>")
    (message,) = await messages(base)

    _, page = await get(base, f"/messages/{message['id']}")

    assert "<script>" not in page
    async with (
        aiohttp.ClientSession() as http,
        http.get(f"http://127.0.0.1:{base + 2}/messages/{message['id']}/content") as content,
    ):
        assert "sandbox" in content.headers["Content-Security-Policy"]
        assert "allow-scripts" not in content.headers["Content-Security-Policy"]


async def test_an_address_is_refused_while_that_is_asked_for(base: int) -> None:
    refused = f"http://127.0.0.1:{base + 2}/refused/Z@acme.example"
    async with aiohttp.ClientSession() as http:
        await http.put(refused)
        with pytest.raises(aiosmtplib.SMTPRecipientsRefused):
            await send(base, "Lost")
        await http.delete(refused)
    await send(base, "Arrives")

    assert [message["subject"] for message in await messages(base)] == ["Arrives"]


async def test_another_host_name_is_refused(base: int) -> None:
    status, _ = await get(base, "/messages", Host="evil.example")

    assert status == 403


async def test_only_the_newest_are_kept_and_a_restart_forgets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail, "KEPT", 3)
    box = mail.Mailbox(tmp_path)
    for number in range(5):
        box.add(mail.Message(f"{number:020}", "a@x", "b@x", str(number), "", None, ""))
    (tmp_path / "99.json").write_text('{"id": "half')

    again = await asyncio.to_thread(mail.Mailbox, tmp_path)

    assert [message.subject for message in again.newest_first()] == ["4", "3", "2"]
