"""A real Chromium: an installed one, Debian's as root, else the one that Playwright fetches."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL_SECONDS = 600


class NoBrowser(Exception):
    """There is no Chromium and none can be had; the text says what to do."""


def executable() -> str | None:
    """Path of a Chromium, None for the one that belongs to Playwright.

    Raises:
        NoBrowser: see there.
    """
    if found := _installed():
        return found
    if os.geteuid() == 0 and shutil.which("apt-get"):
        _run("apt-get", "update")
        _run("apt-get", "install", "-y", "--no-install-recommends", "chromium")
        if found := _installed():
            return found
    if _run(sys.executable, "-m", "playwright", "install", "chromium"):
        return None
    raise NoBrowser("The console's tests need a Chromium: install the package chromium, then run them again.")


def _installed() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _run(*command: str) -> bool:
    try:
        done = subprocess.run(
            command, stdout=sys.stderr, stderr=sys.stderr, timeout=INSTALL_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@asynccontextmanager
async def open_browser() -> AsyncIterator[Browser]:
    """Raises NoBrowser."""
    path = executable()
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()
