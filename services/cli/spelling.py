"""How commands are spelled: what they share of options, and how a function becomes one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from services.cli.reporting import run

StateOption = Annotated[
    Path, typer.Option("--state", help="Directory of the local stack.", envvar="ASTRA_STATE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
P = ParamSpec("P")
Asynchronous = Callable[P, Coroutine[Any, Any, bool | None]]


def group(told: str = "") -> typer.Typer:
    """The commands of one module; `told` is the help of a group, empty where they stand alone."""
    return typer.Typer(
        help=told, no_args_is_help=bool(told), add_completion=False, pretty_exceptions_enable=False
    )


def command(app: typer.Typer, name: str) -> Callable[[Asynchronous[P]], Asynchronous[P]]:
    """Spell an asynchronous function as a command of `app`; one that returns False exits with 1."""

    def spell(work: Asynchronous[P]) -> Asynchronous[P]:
        @functools.wraps(work)
        def spelled(*args: P.args, **kwargs: P.kwargs) -> None:
            if run(work(*args, **kwargs)) is False:
                raise typer.Exit(1)

        app.command(name)(spelled)
        return work

    return spell
