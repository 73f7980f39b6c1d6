"""slack_bolt in its aiohttp form: verifies the signature, finds the listener, answers. It stores nothing.

A process of its own: `python -m scripts.ingest_bench.bolt PORT`.
"""

from __future__ import annotations

import sys

import uvloop
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from scripts.ingest_bench.reference import serve
from scripts.ingest_bench.webhooks import SECRET


async def authorize() -> AuthorizeResult:
    """An installation known beforehand, so that nobody is asked for it."""
    return AuthorizeResult(enterprise_id=None, team_id="T0BENCH", bot_user_id="U0BENCHBOT")


async def heard() -> None:
    """What a message leads to: nothing."""


def main() -> None:
    """Serve the app."""
    app = AsyncApp(signing_secret=SECRET, authorize=authorize)
    app.event("message")(heard)
    uvloop.run(serve(app.web_app("/webhooks/slack"), int(sys.argv[1])))


if __name__ == "__main__":
    main()
