"""What a model writes at this moment, put together from the pieces that come while a page is open.

None of it is on record: the turn that is recorded takes its place.
"""

from __future__ import annotations

from dataclasses import dataclass

from aucert.astra.v1.task_run_service_pb2 import StreamedText

TEXT_CHARS_MAX = 4_000
"""Most text shown, its end; the recorded turn has all of it."""


@dataclass(slots=True)
class Writing:
    """The text of the turn that is being written at `position`; empty while none is."""

    text: str = ""
    position: int = 0
    _attempt: int = 0
    _begins: int = 0

    @property
    def is_cut(self) -> bool:
        """Whether it begins somewhere within the text."""
        return self._begins > 0

    def take(self, piece: StreamedText, recorded: int) -> None:
        """Add a piece, unless its turn is on record: `recorded` is the last position that is, -1: none."""
        if piece.position <= recorded:
            return
        if (piece.position, piece.fence) != (self.position, self._attempt):
            self.position, self._attempt = piece.position, piece.fence
            self.text, self._begins = "", piece.offset
        known = piece.offset - self._begins
        if known < 0 or known > len(self.text):  # pieces in between were lost, or it begins anew
            self.text, self._begins, known = "", piece.offset, 0
        told_again = self.text[known:].startswith(piece.text)
        self.text = self.text if told_again else self.text[:known] + piece.text
        beyond = max(0, len(self.text) - TEXT_CHARS_MAX)
        self.text, self._begins = self.text[beyond:], self._begins + beyond

    def recorded(self, position: int) -> None:
        """A turn was put on record."""
        if position >= self.position:
            self.text = ""
