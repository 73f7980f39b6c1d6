"""Text on a terminal as a model writes it, between the events of its run."""

from __future__ import annotations

import sys
from typing import TextIO

from aucert.astra.v1.task_run_service_pb2 import StreamedText
from services.cli.show import plain


class LiveText:
    """Prints each character once; where pieces were lost it says so by an ellipsis."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self._out = out
        self._turn = (0, 0)
        self._printed = 0
        self._mid_line = False

    def add(self, piece: StreamedText) -> None:
        """Print what is new in a piece."""
        turn = (piece.position, piece.fence)
        if turn != self._turn:
            self.end_line()
            self._turn, self._printed = turn, 0
        if piece.offset > self._printed:
            self._print("…")
            self._printed = piece.offset
        new = piece.text[self._printed - piece.offset :]
        self._print(new)
        self._printed += len(new)

    def end_line(self) -> None:
        """Begin a line, so that something else can be printed."""
        if self._mid_line:
            self._print("\n")

    def _print(self, text: str) -> None:
        if text := plain(text):
            self._out.write(text)
            self._out.flush()
            self._mid_line = not text.endswith("\n")
