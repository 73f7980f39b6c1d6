"""The whole URL table."""

from __future__ import annotations

from aiohttp import web

from gateway import probes, tasks, webhooks

SOURCES = ("github",)
_SOURCE = "{source:" + "|".join(SOURCES) + "}"
_TENANT = r"{tenant:[A-Za-z0-9][A-Za-z0-9._-]{0,63}}"


def routes() -> list[web.AbstractRouteDef]:
    """Every URL the gateway answers."""
    return [
        web.post(f"/webhooks/{_SOURCE}", webhooks.receive),
        web.post(f"/webhooks/{_SOURCE}/{_TENANT}", webhooks.receive),
        web.post("/api/tasks", tasks.create_task),
        web.get("/health", probes.live),
        web.get("/livez", probes.live),
        web.get("/readyz", probes.ready),
        web.get("/metrics", probes.metrics),
    ]
