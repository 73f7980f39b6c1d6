"""The browser that looks at the console, for its test and its bench: a Chromium of this machine, headless.

Playwright could download one; the machine's own package manager is asked instead (Debian: apt-get install
chromium), so that nothing is fetched behind a person's back.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",  # it is root in CI, and looks at nothing but our own pages
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoChromium(Exception):
    """There is no browser to look with."""

    def __init__(self) -> None:
        super().__init__(
            f"No Chromium found under the names {', '.join(NAMES)}. Install it (Debian: apt-get install "
            "chromium), or name the program in the variable CHROMIUM."
        )


def executable() -> str:
    """The program to run: CHROMIUM, else the first of NAMES on PATH. Raises NoChromium."""
    named = os.environ.get("CHROMIUM", "")
    found = next(filter(None, map(shutil.which, [named] if named else NAMES)), None)
    if found is None:
        raise NoChromium
    return found


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A browser until the block is left. Raises NoChromium."""
    program = executable()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=list(FLAGS))
        try:
            yield browser
        finally:
            await browser.close()
