"""One writer a mirror, among this process's tasks and among the processes that share the folder.

The kernel frees a dead process's lock, so nothing here can outlive a kill. Lock files are never deleted:
removing one while another process opens it would let two in.
"""

import asyncio
import fcntl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import BinaryIO
from weakref import WeakValueDictionary

LOCK_POLL_SECONDS = 0.02


class MirrorLocks:
    """Locks by name, as files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, name: str, *, seconds_max: float) -> AsyncGenerator[bool]:
        """Hold a lock for the block. False: others kept it for `seconds_max`; the block runs without."""
        ends = time.monotonic() + seconds_max
        lock = self._tasks.setdefault(name, asyncio.Lock())
        if not await _acquire(lock, seconds_max):
            yield False
            return
        try:
            with (self._folder / name).open("wb") as file:  # closing it gives the lock back
                yield await _lock_file(file, ends)
        finally:
            lock.release()


async def _acquire(lock: asyncio.Lock, seconds_max: float) -> bool:
    if lock.locked() and seconds_max <= 0:
        return False
    try:
        async with asyncio.timeout(seconds_max if seconds_max > 0 else None):
            return await lock.acquire()
    except TimeoutError:
        return False


async def _lock_file(file: BinaryIO, ends: float) -> bool:
    """Polled, since waiting in the kernel would take a thread that cannot be cancelled."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= ends:
                return False
        await asyncio.sleep(LOCK_POLL_SECONDS)
