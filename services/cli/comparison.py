"""`astra runs compare`: the runs of one event side by side, one for each model it asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc

from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.task_run_service_pb2 import GetTaskRunRequest, ListTaskRunsRequest
from services.cli.client import Clients, operator_clients
from services.cli.show import dollars, status_word, table
from services.common.errors import from_rpc

RUNS_MAX = 200
"""More than the models one event may ask for."""


async def compare(
    state_dir: Path, environment: Mapping[str, str], run_or_event_id: str, *, as_json: bool
) -> None:
    """Print time, tokens and cost of the runs of an event, named by itself or by one of its runs."""
    async with operator_clients(state_dir, environment) as clients:
        event_id = await _event_of(clients, run_or_event_id)
        request = ListTaskRunsRequest(thread_event_id=event_id, page_size=RUNS_MAX)
        runs = sorted((await clients.runs.ListTaskRuns(request)).task_runs, key=lambda run: run.model_alias)
    if as_json:
        print(json.dumps({"thread_event_id": event_id, "runs": [_figures(run) for run in runs]}))
    else:
        print(side_by_side(runs))


async def _event_of(clients: Clients, run_or_event_id: str) -> str:
    try:
        request = GetTaskRunRequest(task_run_id=run_or_event_id)
        return (await clients.runs.GetTaskRun(request)).task_run.thread_event_id
    except grpc.aio.AioRpcError as error:
        if from_rpc(error).reason != "TASK_RUN_NOT_FOUND":
            raise
        return run_or_event_id


def side_by_side(runs: Sequence[TaskRun]) -> str:
    """The runs as a table, a line each."""
    heading = ("model", "outcome", "time", "turns", "in", "cached", "out", "cost", "run")
    return table([heading, *(_row(run) for run in runs)])


def _row(run: TaskRun) -> tuple[str, ...]:
    return (
        f"{run.model_alias} [{run.model_label}]",
        status_word(run),
        f"{run.duration_ms / 1000:.1f} s",
        str(run.turn_count),
        str(run.tokens_input + run.tokens_cache_write),
        f"{run.tokens_cache_read} ({run.cache_hit_rate:.0%})" if run.tokens_cache_read else "0",
        str(run.tokens_output),
        dollars(run.estimated_cost_usd_micros),
        run.task_run_id,
    )


def _figures(run: TaskRun) -> dict[str, Any]:
    return {
        "task_run_id": run.task_run_id,
        "model": run.model_alias,
        "label": f"[{run.model_label}]",
        "outcome": status_word(run),
        "duration_ms": run.duration_ms,
        "turns": run.turn_count,
        "tokens_input": run.tokens_input,
        "tokens_output": run.tokens_output,
        "tokens_cache_read": run.tokens_cache_read,
        "tokens_cache_write": run.tokens_cache_write,
        "cache_hit_rate": run.cache_hit_rate,
        "estimated_cost_usd_micros": run.estimated_cost_usd_micros,
        "reply_url": run.reply_url,
    }
