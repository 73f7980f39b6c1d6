"""The whole URL table."""

from __future__ import annotations

from aiohttp import web

from gateway import probes, tasks, webhooks
from gateway.console import run_list, run_page, signing_in
from gateway.console.pages import SIGN_IN, STATIC, STATIC_FILES
from gateway.mcp import endpoint as mcp

SOURCES = ("github", "slack", "plane", "google-drive", "google-events", *webhooks.ALIASES)
_SOURCE = "{source:" + "|".join(SOURCES) + "}"
_TENANT = r"{tenant:[A-Za-z0-9][A-Za-z0-9._-]{0,63}}"
_RUN = r"{task_run_id:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}}"
_POSITION = r"{position:[0-9]{1,6}}"


def routes() -> list[web.AbstractRouteDef]:
    """Every URL the gateway answers."""
    return [
        web.post(f"/webhooks/{_SOURCE}", webhooks.receive),
        web.post(f"/webhooks/{_SOURCE}/{_TENANT}", webhooks.receive),
        web.post("/api/tasks", tasks.create_task),
        web.post("/mcp", mcp.answer),
        web.get("/health", probes.live),
        web.get("/livez", probes.live),
        web.get("/readyz", probes.ready),
        web.get("/metrics", probes.metrics),
        web.get("/", run_list.show),
        web.get("/live", run_list.follow),
        web.get(f"/runs/{_RUN}", run_page.show),
        web.get(f"/runs/{_RUN}/live", run_page.follow),
        web.get(f"/runs/{_RUN}/turns/{_POSITION}", run_page.show_turn),
        web.get(SIGN_IN, signing_in.ask),
        web.post(SIGN_IN, signing_in.sign_in),
        web.post("/sign-out", signing_in.sign_out),
        web.static(STATIC, STATIC_FILES),
    ]
