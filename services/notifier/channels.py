"""How a message travels: a port, and e-mail behind it. A text message will be another class of this file.

What a channel answers is definite wherever it can be: refused before anything was handed over, refused by the
server's own words, taken over, or `unknown` when the connection went between the final dot and the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from typing import Protocol

import aiosmtplib
from aiosmtplib import (
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponseException,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from services.kit import settings
from services.notifier.mails.render import Words, clean
from services.notifier.outbox import Outcome

_ADDRESS = re.compile(r'[^\s<>@,;:"()\[\]\\]+@[^\s<>@,;:"()\[\]\\]+')
_GONE = (SMTPServerDisconnected, SMTPTimeoutError, OSError)
_SHUTTING_DOWN = 421
_FINAL = 500


class ChannelAway(Exception):
    """The next server cannot be reached, or does not let us in; nothing was handed over."""

    def __init__(self, code: str, told: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.told = told


@dataclass(frozen=True, slots=True)
class Letter:
    """A message ready to go; `key` is the same whenever it is sent again."""

    key: str
    name: str = field(repr=False)
    address: str = field(repr=False)
    words: Words = field(repr=False)
    date: datetime


Send = Callable[[Letter], Awaitable[Outcome]]
"""Raises ChannelAway when nothing more can be sent over this connection."""


class Channel(Protocol):
    """A way to somebody."""

    def open(self) -> AbstractAsyncContextManager[Send]:
        """One connection for several messages. Raises ChannelAway."""
        ...

    async def reachable(self) -> bool: ...


class Email:
    """E-mail through one SMTP server."""

    def __init__(self, smtp: settings.Smtp) -> None:
        name, self._sender = parseaddr(smtp.sender)
        self._from = Address(name, addr_spec=self._sender)
        self._smtp = smtp

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Send]:
        client = self._client()
        try:
            await self._connect(client)
            yield lambda letter: self._send(client, letter)
            with contextlib.suppress(SMTPException, OSError):
                await client.quit()
        finally:
            client.close()

    async def reachable(self) -> bool:
        """Whether the server lets us in now."""
        try:
            async with asyncio.timeout(2), self.open():
                return True
        except (ChannelAway, TimeoutError):
            return False

    def compose(self, letter: Letter) -> EmailMessage:
        """The message as it goes over the wire.

        Raises:
            ValueError: the address is none.
        """
        if not _ADDRESS.fullmatch(letter.address):
            raise ValueError("not an address")
        message = EmailMessage(policy=SMTP if letter.address.isascii() else SMTPUTF8)
        message["From"] = self._from
        user, domain = letter.address.rsplit("@", 1)
        message["To"] = Address(_header(letter.name), user, domain)
        message["Subject"] = _header(letter.words.subject)
        message["Date"] = format_datetime(letter.date)
        message["Message-ID"] = f"<{letter.key}@{self._from.domain}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(letter.words.text, cte="quoted-printable")
        message.add_alternative(letter.words.html, subtype="html", cte="quoted-printable")
        return message

    def _client(self) -> aiosmtplib.SMTP:
        smtp = self._smtp
        return aiosmtplib.SMTP(
            hostname=smtp.host, port=smtp.port, timeout=smtp.timeout_seconds, use_tls=smtp.security == "tls",
            start_tls=smtp.security == "starttls", username=smtp.username or None,
            password=smtp.password.get_secret_value() or None, local_hostname=self._from.domain,
        )  # fmt: skip

    async def _connect(self, client: aiosmtplib.SMTP) -> None:
        try:
            await client.connect()
        except SMTPResponseException as error:
            told = "The mail server does not let us in."
            raise ChannelAway(f"server_refused_{error.code}", told) from error
        except (SMTPException, OSError, ValueError) as error:
            raise ChannelAway("server_away", "The mail server cannot be reached.") from error

    async def _send(self, client: aiosmtplib.SMTP, letter: Letter) -> Outcome:
        try:
            raw = self.compose(letter).as_bytes()
        except (ValueError, MessageError):
            return Outcome("abandoned", "address_malformed", to=letter.address)
        refused = await self._address(client, letter.address)
        if refused is not None:
            return refused
        try:
            await client.data(raw)
        except SMTPDataError as error:
            return _refused(error, letter.address)
        except _GONE:
            told = "The connection was lost before the mail server answered; the message may have arrived."
            return Outcome("unknown", "connection_lost", told, letter.address)
        return Outcome("sent", to=letter.address)

    async def _address(self, client: aiosmtplib.SMTP, address: str) -> Outcome | None:
        """Name sender and recipient; None when the server wants the message."""
        options, encoding = ([], "ascii") if address.isascii() else (["SMTPUTF8"], "utf-8")
        try:
            if options and client.is_ehlo_or_helo_needed:
                await client.ehlo()
            if options and not client.supports_extension("smtputf8"):
                return Outcome("abandoned", "address_not_supported", to=address)
            await client.mail(self._sender, options=options, encoding=encoding)
            return await self._recipient(client, address, encoding)
        except SMTPResponseException as error:
            if error.code == _SHUTTING_DOWN:
                raise ChannelAway("server_away", "The mail server is shutting down.") from error
            with contextlib.suppress(SMTPException, OSError):
                await client.rset()
            return _refused(error, address)
        except _GONE as error:
            raise ChannelAway("server_away", "The connection to the mail server was lost.") from error

    async def _recipient(self, client: aiosmtplib.SMTP, address: str, encoding: str) -> Outcome | None:
        """A server that hangs up at one recipient is not away: the try counts, or nobody behind would get theirs."""
        try:
            await client.rcpt(address, encoding=encoding)
        except SMTPResponseException as error:
            if error.code != _SHUTTING_DOWN:
                raise
            return _refused(error, address)
        except _GONE:
            return Outcome("failed", "connection_lost", "The mail server hung up at this address.", address)
        return None


def _header(text: str) -> str:
    """One line that no reader takes for an encoded word, which could hold what a line may not."""
    return clean(text).replace("=?", "= ?")


def _refused(error: SMTPResponseException, to: str) -> Outcome:
    """5xx about the recipient or the text is final; about our sender it is a setting, and will be mended."""
    final = error.code >= _FINAL and isinstance(error, (SMTPRecipientRefused, SMTPDataError))
    told = f"{error.code} {clean(str(error.message))}"
    return Outcome("abandoned" if final else "failed", f"refused_{error.code}", told, to)
