"""Run one command that may not outlive whoever started it.

    python -I -S keeper.py SIGINT 10 [UID:GID [reach]] -- command…

The caller holds the write end of the pipe on this process's stdin. However the caller ends, SIGKILL
included, the kernel closes that end; the keeper reads end-of-file and ends the command: the named signal
first, SIGQUIT after the given seconds, SIGKILL soon after. Closing the pipe is also how a living caller asks.

The keeper prints the command's process id on stdout and nothing else. The command gets `/dev/null` as stdin
and the keeper's stderr as its stdout and stderr. When the command ends, the keeper exits with its status,
128 + signal number if a signal ended it. Caller and command are in different sessions, so Ctrl-C in a
terminal reaches only the caller.

With UID:GID the command runs as that user; the caller must be root. `reach` leaves the command one right of
root, to pass directories that are closed to others (Linux only): a server that refuses to be root can then
keep its files below root's home.

Standard library only, and as little of it as will do: this runs before every start of an embedded server.
"""

import ctypes  # loaded before the change of user: the new one may not be able to read it
import os
import select
import signal
import struct
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import NoReturn

QUIT_SECONDS = 3
"""Seconds a command gets between SIGQUIT and SIGKILL."""
EXIT_NOT_STARTED = 127
SIGNALS_READ_MAX = 64

# <linux/prctl.h>, <linux/securebits.h>, <linux/capability.h>
PR_SET_PDEATHSIG, PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 1, 28, 47, 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3, CAP_DAC_OVERRIDE = 0x20080522, 1


def main(arguments: list[str]) -> int:
    """Run the command to its end and return the status to exit with."""
    split = arguments.index("--")
    (ending_name, ending_seconds, *account), command = arguments[:split], arguments[split + 1 :]
    ending = signal.Signals[ending_name]
    with suppress(PermissionError):  # the caller may have given us a session already
        os.setsid()
    os.chdir("/")
    alarm = _alarm()
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        _become(command, account, ending, keeper)
    with suppress(BrokenPipeError):
        os.write(1, b"%d\n" % child)

    status = _watch(child, [0, alarm], seconds=None)
    ladder = ((ending, float(ending_seconds)), (signal.SIGQUIT, QUIT_SECONDS), (signal.SIGKILL, None))
    for number, seconds in ladder:
        if status is not None:
            break
        os.kill(child, number)
        status = _watch(child, [alarm], seconds)
    return EXIT_NOT_STARTED if status is None else status


def _alarm() -> int:
    """Give a descriptor that becomes readable when the command ends or somebody asks the keeper to end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, _noted)
    return reader


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Do nothing: the byte in the alarm's pipe is the news."""


def _watch(child: int, descriptors: list[int], seconds: float | None) -> int | None:
    """Return the command's exit status, or None once it is to be ended or the seconds have passed."""
    asked = 0 in descriptors  # is anyone still to be asked, or is the command ending already?
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(descriptors, [], [], left)
        if not ready or 0 in ready:
            return None
        if set(os.read(ready[0], SIGNALS_READ_MAX)) != {signal.SIGCHLD} and asked:
            return None


def _become(command: list[str], account: list[str], ending: signal.Signals, keeper: int) -> NoReturn:
    """Turn this forked process into the command."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these, and ignoring is inherited
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(2, 1)
        if account:
            _take_account(account[0], reach="reach" in account[1:])
        if sys.platform == "linux":
            # After the change of user, which clears it. Covers a keeper that is itself killed.
            _call("prctl", PR_SET_PDEATHSIG, int(ending))
        if os.getppid() == keeper:
            os.execv(command[0], command)  # noqa: S606 - that is its job
    except OSError as problem:
        os.write(2, f"{command[0]} did not start: {problem}\n".encode())
    os._exit(EXIT_NOT_STARTED)


def _take_account(account: str, *, reach: bool) -> None:
    uid, gid = (int(number) for number in account.split(":"))
    if reach:
        # Capabilities then survive the change of user, and access(2) counts them: by it initdb looks for
        # postgres, and without this it would ask as an ordinary user.
        _call("prctl", PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if reach:
        bit = 1 << CAP_DAC_OVERRIDE
        # effective, permitted, inheritable: the low words, then the high ones
        sets = struct.pack("6I", bit, bit, bit, 0, 0, 0)
        _call("capset", struct.pack("Ii", CAPABILITY_VERSION_3, 0), sets)
        # Ambient: the one kind of capability that an ordinary program keeps across exec without being root.
        _call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def _call(name: str, *arguments: int | bytes) -> None:
    """Call a C function that Python does not offer; raise OSError if it fails."""
    if ctypes.CDLL(None, use_errno=True)[name](*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}{arguments}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
