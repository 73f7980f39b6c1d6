"""Runs the `git` program: bounded in time and output, blind to the machine's settings, silent on secrets.

Every call gets an environment of its own, so no user or system configuration, hook, credential helper, prompt
or exotic transport takes part. A credential travels in that environment as an HTTP header scoped to its URL:
never in arguments, in a URL, in a repository's configuration or in an error's text.
What to ask git, and what its answers mean, is left to the callers.
"""

import asyncio
import base64
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO
from urllib.parse import quote

from services.common.children import PIPE, Child, start_child

READ_SECONDS_MAX = 25.0
"""Longest a read of local objects may take."""
STDOUT_BYTES_MAX = 16 * 1024 * 1024
STDERR_BYTES_MAX = 8 * 1024
CHUNK_BYTES = 64 * 1024

INHERITED = (
    "PATH", "TMPDIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "https_proxy", "http_proxy", "no_proxy",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO",
)  # fmt: skip
"""What git needs from this process's environment to start and to reach a host."""
ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ALLOW_PROTOCOL": "https:http:file",
    "GIT_DEFAULT_REF_FORMAT": "files",
    "HOME": os.devnull,
    "LC_ALL": "C",
}
SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.attributesFile", os.devnull),
    ("core.quotePath", "false"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    ("safe.directory", "*"),  # a volume may belong to another user; nothing in it is executed
    ("gc.autoDetach", "false"),
    ("maintenance.auto", "false"),
    ("grep.threads", "2"),
)


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and secret for HTTP Basic authentication."""

    username: str
    secret: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The value of an Authorization header, after `Basic `."""
        return base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a repository is fetched from: an https or http URL, a file URL or an absolute path."""

    url: str
    credential: Credential | None = None


class GitError(Exception):
    """git refused. `stderr` is what it said, without secrets; at most `STDERR_BYTES_MAX` bytes."""

    def __init__(self, command: str, exit_code: int, stderr: str) -> None:
        super().__init__(f"git {command} ended with {exit_code}: {stderr}")
        self.exit_code = exit_code
        self.stderr = stderr


class GitTimeoutError(Exception):
    """git was ended because it took too long."""


class GitOutputError(Exception):
    """git was ended because it wrote more than the caller takes."""


async def run_git(
    args: Sequence[str | bytes],
    *,
    git_dir: Path | None = None,
    remote: Remote | None = None,
    global_config: Path | None = None,
    stdin: bytes = b"",
    seconds_max: float = READ_SECONDS_MAX,
    stdout_bytes_max: int = STDOUT_BYTES_MAX,
    exit_codes: Sequence[int] = (0,),
) -> bytes:
    """Run git to its end and return what it wrote.

    Raises GitError for an exit code not in `exit_codes`, GitTimeoutError, and GitOutputError.
    """
    output = bytearray()
    async with stream_git(
        args, git_dir=git_dir, remote=remote, global_config=global_config, stdin=stdin,
        seconds_max=seconds_max, exit_codes=exit_codes,
    ) as chunks:  # fmt: skip
        async for chunk in chunks:
            output += chunk
            if len(output) > stdout_bytes_max:
                raise GitOutputError(f"git {_command(args)} wrote more than {stdout_bytes_max} bytes")
    return bytes(output)


@asynccontextmanager
async def stream_git(
    args: Sequence[str | bytes],
    *,
    git_dir: Path | None = None,
    remote: Remote | None = None,
    global_config: Path | None = None,
    stdin: bytes = b"",
    seconds_max: float = READ_SECONDS_MAX,
    exit_codes: Sequence[int] = (0,),
) -> AsyncGenerator[AsyncIterator[bytes]]:
    """Run git and hand out its output in chunks. Leaving the block early ends git, without complaint.

    `seconds_max` bounds the whole block. Errors as in `run_git`; git's exit code counts only when its output
    was read to the end.
    """
    with TemporaryFile() as asked:
        asked.write(stdin)
        asked.seek(0)
        process = await start_git(
            args, git_dir=git_dir, remote=remote, global_config=global_config, stdin=asked
        )
    assert process.stdout
    assert process.stderr
    complaint = asyncio.create_task(_head(process.stderr, STDERR_BYTES_MAX))
    try:
        async with asyncio.timeout(seconds_max):
            yield _chunks(process.stdout)
            if process.stdout.at_eof():
                stderr, exit_code = await complaint, await process.exited()
                if exit_code not in exit_codes:
                    raise GitError(_command(args), exit_code, redact(stderr.decode(errors="replace"), remote))
    except TimeoutError:
        raise GitTimeoutError(f"git {_command(args)} took longer than {seconds_max:g} s") from None
    finally:
        process.kill_session()
        complaint.cancel()
        await process.exited()


async def start_git(
    args: Sequence[str | bytes],
    *,
    git_dir: Path | None = None,
    remote: Remote | None = None,
    global_config: Path | None = None,
    stdin: int | IO[bytes],
) -> Child:
    """Start git with output and complaints piped. To bound it and to end it is left to the caller."""
    return await start_child(
        ["git", *([f"--git-dir={git_dir}"] if git_dir else []), *args],
        environment=_environment(remote, global_config),
        stdin=stdin,
        stdout=PIPE,
        stderr=PIPE,
    )


async def split_records(
    chunks: AsyncIterator[bytes], separator: bytes, record_bytes_max: int = CHUNK_BYTES
) -> AsyncIterator[bytes]:
    """Cut a stream at a one-byte separator, and a longer record down to `record_bytes_max` bytes."""
    kept = bytearray()
    async for chunk in chunks:
        *ended, rest = chunk.split(separator)
        for part in ended:
            kept += part[: record_bytes_max - len(kept)]
            yield bytes(kept)
            kept.clear()
        kept += rest[: record_bytes_max - len(kept)]
    if kept:
        yield bytes(kept)


def redact(text: str, remote: Remote | None) -> str:
    """Take the remote's secret, in every form git may repeat it, and any user part of a URL out of a text."""
    if remote and remote.credential and remote.credential.secret:
        secret = remote.credential.secret
        for form in (remote.credential.basic, quote(secret, safe=""), secret):
            text = text.replace(form, "[redacted]")
    return re.sub(r"://[^/\s@]+@", "://[redacted]@", text).strip()


def _environment(remote: Remote | None, global_config: Path | None) -> dict[str, str]:
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ} | ENVIRONMENT
    if global_config:
        environment["GIT_CONFIG_GLOBAL"] = str(global_config)
    settings = list(SETTINGS)
    if remote and remote.credential:
        settings.append((f"http.{remote.url}.extraHeader", f"Authorization: Basic {remote.credential.basic}"))
        settings.append(("http.followRedirects", "false"))  # git would send the header on to the new host
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (key, value) in enumerate(settings):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


async def _chunks(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await stream.read(CHUNK_BYTES):
        yield chunk


async def _head(stream: asyncio.StreamReader, bytes_max: int) -> bytes:
    """The first bytes of a stream; the rest is read and forgotten, so that the writer never waits."""
    head = bytearray()
    while chunk := await stream.read(CHUNK_BYTES):
        head += chunk[: bytes_max - len(head)]
    return bytes(head)


def _command(args: Sequence[str | bytes]) -> str:
    """The subcommand alone: arguments may hold what a log must not."""
    words = (os.fsdecode(word) for word in args)
    return next((word for word in words if not word.startswith("-")), "")
