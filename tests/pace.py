"""How the time of a piece of work grows, told apart from what the machine does beside it."""

from __future__ import annotations

import time
from collections.abc import Callable


def quickest(work: Callable[[], object]) -> float:
    """Seconds of processor time, the best of three: one of them may pay for collecting others' garbage."""

    def once() -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    return min(once() for _ in range(3))
