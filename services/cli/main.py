"""`astra`: run the platform, ask it for work, look at what it did.

Progress goes to stderr, results to stdout. Exit codes: 0 done, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import typer
from typer.core import TyperGroup

from services.common.logs import configure_logs

COMMANDS = {
    "up": "stack_commands",
    "serve": "stack_commands",
    "smoke": "stack_commands",
    "doctor": "doctor_command",
    "migrate": "database_commands",
    "sql": "database_commands",
    "task": "task_command",
    "runs": "run_commands",
    "models": "model_commands",
    "agents": "agent_commands",
    "principals": "principal_commands",
    "tools": "tool_commands",
    "mcp": "mcp_command",
    "kb": "kb_commands",
    "deliveries": "delivery_commands",
    "vault": "vault_commands",
    "watches": "watch_commands",
    "budget": "budget_commands",
    "repositories": "repository_commands",
}
"""Each command and the module whose `app` holds it, or is it; loaded when it is called, for speed."""


class _Commands(TyperGroup):
    """The table above as click sees it, whose types typer keeps under a private name."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"services.cli.{COMMANDS[cmd_name]}")
        command = typer.main.get_command(module.app)
        command = getattr(command, "commands", {}).get(cmd_name, command)
        command.name = cmd_name
        return command


app = typer.Typer(cls=_Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.callback(help=__doc__)(lambda: None)


def main() -> None:
    """Entry point of the `astra` command."""
    configure_logs(level=os.environ.get("LOG_LEVEL", "WARNING"), stream=sys.stderr)
    app()


if __name__ == "__main__":
    main()
