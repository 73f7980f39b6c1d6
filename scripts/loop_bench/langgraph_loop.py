"""LangGraph with its asynchronous PostgreSQL checkpointer: the common way to a loop that survives a crash.

In its leanest form, to be no straw man: two nodes, plain dictionaries as messages, the openai SDK inside, a
pool as large as Astra's, and `durability="async"`, the default, which writes a step while the next one runs.
"""

from __future__ import annotations

import operator
import sys
from pathlib import Path
from typing import Annotated, Any, TypedDict

import uvloop
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from openai import AsyncOpenAI
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from scripts.loop_bench.assignment import Assignment, Json
from scripts.loop_bench.contender import Kept, Loop, answer_orders, stored_in
from scripts.loop_bench.openai_loop import client_of, model_turn, tool_results
from services.cli.embedded import SUPERUSER, EmbeddedPostgres

POOL_SIZE = 20


class State(TypedDict):
    """What is checkpointed: the conversation, to which each node appends."""

    messages: Annotated[list[Json], operator.add]


def graph_of(client: AsyncOpenAI, saver: AsyncPostgresSaver) -> Any:
    """Model, then tools, then model again, until a message holds no calls."""

    async def model(state: State) -> State:
        return {"messages": [await model_turn(client, state["messages"])]}

    async def tools(state: State) -> State:
        return {"messages": tool_results(state["messages"][-1])}

    def after_model(state: State) -> str:
        return "tools" if "tool_calls" in state["messages"][-1] else END

    graph: Any = StateGraph(State)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", after_model, ["tools", END])
    graph.add_edge("tools", "model")
    return graph.compile(checkpointer=saver)


class GraphRuns:
    """Runs the graph, one thread a run."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph

    async def run(self, assignment: Assignment) -> str:
        """Run to the answer. Raises ValueError when the checkpoint does not hold the whole conversation."""
        config = {
            "configurable": {"thread_id": assignment.key},
            "recursion_limit": 2 * assignment.turns + 2,
        }
        asked = {"messages": [{"role": "user", "content": assignment.prompt}]}
        state = await self._graph.ainvoke(asked, config, durability="async")
        if len(state["messages"]) != 2 * assignment.turns + 2:
            raise ValueError(f"Run {assignment.key} lost messages.")
        return str(state["messages"][-1]["content"])


async def main(base_url: str, folder: Path) -> None:
    """Start PostgreSQL as `astra up` starts it, then answer the bench's orders."""
    server = EmbeddedPostgres(folder / "postgres", None, folder / "postgres.log")
    async with server, client_of(base_url) as client:
        url = server.dsn(SUPERUSER, server.superuser_password, "postgres")
        settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        pool: Any = AsyncConnectionPool(
            url, min_size=POOL_SIZE, max_size=POOL_SIZE, kwargs=settings, open=False
        )
        async with pool:
            saver = AsyncPostgresSaver(pool)
            await saver.setup()

            async def kept() -> Kept:
                postgres_bytes, wal_bytes = await stored_in(url)
                return Kept(postgres_bytes=postgres_bytes, wal_bytes=wal_bytes)

            await answer_orders(Loop(GraphRuns(graph_of(client, saver)).run, kept))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], Path(sys.argv[2])))
