"""Every service as a process of its own, and what a cluster does around them.

A pod here is a process with an address of its own on the loopback network, so old and new share a port as
pods do. A pod is listed under its service's name once its probe succeeds and until it is told to end; a new
one comes before the old one goes. Of the environment the chart sets, only what cannot hold on one machine is
changed, and `on_this_machine` is the whole list.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.processes.names import NameServer

START_SECONDS_MAX = 90.0
"""A safety limit, like the chart's startup probe."""
PROBE_TIMEOUT_SECONDS = 2.0
PORTS = {
    "astra": "ASTRA_PORT",
    "models": "MODELS_PORT",
    "tools": "TOOLS_PORT",
    "dispatcher": "DISPATCHER_PORT",
    "worker": "WORKER_HEALTH_PORT",
    "gateway": "GATEWAY_PORT",
}
"""The roles in the order they need each other, with the variable that holds each one's port."""
Environment = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Pod:
    """A process of a role on an address of its own."""

    role: str
    address: str
    port: int
    process: asyncio.subprocess.Process
    log: Path

    def tail(self) -> str:
        return f"{self.role}: …{self.log.read_text()[-3000:]}"


class Cluster:
    """The pods of one installation. `grace_seconds`: what a role gets between SIGTERM and SIGKILL."""

    def __init__(
        self,
        astra: Path,
        environments: Mapping[str, Environment],
        grace_seconds: Mapping[str, float],
        names: NameServer,
        folder: Path,
    ) -> None:
        self.pods: dict[str, Pod] = {}
        """The listed pod of each role."""
        self.on_gateway: Callable[[str], Awaitable[None]] = _nobody_asked
        """Called with the gateway's URL whenever another pod is listed."""
        self._astra = astra
        self._environments = environments
        self._grace_seconds = grace_seconds
        self._names = names
        self._folder = folder
        self._network = f"127.{secrets.randbelow(200) + 20}.{secrets.randbelow(250) + 1}"
        self._numbers = itertools.count(1)
        self._started: list[asyncio.subprocess.Process] = []

    @property
    def gateway_url(self) -> str:
        """Of the listed pod."""
        return f"http://{self.pods['gateway'].address}:{self.pods['gateway'].port}"

    def address_of(self, role: str) -> str:
        """Where clients find a role, whichever pod it has at the time."""
        return self._named(self._address(role))

    async def run_job(self, *arguments: str, environment: Environment) -> None:
        """Run an `astra` command to its end, as the chart's migration Job does."""
        process = await asyncio.create_subprocess_exec(
            *(self._astra, *arguments),
            env={**environment, **self._surroundings(self._new_folder("job"))},
            cwd=self._folder,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        assert 0 == process.returncode, out.decode()

    async def replace(self, role: str) -> int:
        """Bring a new pod up, then end the old one; returns the old one's exit code."""
        old = self.pods[role]
        await self.start(role)
        return await self.end(old)

    async def start(self, role: str) -> None:
        """Start a pod; once its probe succeeds it is the one that is listed."""
        number = next(self._numbers)
        address = f"{self._network}.{number}"
        folder = self._new_folder(f"{role}-{number}")
        environment = self.on_this_machine(self._environments[role], address, folder)
        log = folder / "log"
        with log.open("w") as output:
            process = await asyncio.create_subprocess_exec(
                *(self._astra, "serve", role), env=environment, cwd=folder, stdout=output, stderr=output
            )
        self._started.append(process)
        pod = Pod(role, address, int(environment[PORTS[role]]), process, log)
        try:
            await _until(lambda: _ready(pod), START_SECONDS_MAX)
        except BaseException:
            print(pod.tail())
            raise
        self.pods[role] = pod
        if role == "gateway":
            await self.on_gateway(self.gateway_url)
        else:
            host, _, _ = self._address(role).partition(":")
            self._names.zone[host] = [address]

    async def end(self, pod: Pod) -> int:
        """SIGTERM; returns the exit code. One that outstays its grace is killed, as the kubelet would."""
        pod.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(pod.process.wait(), self._grace_seconds[pod.role])
        except TimeoutError:
            print(pod.tail())
            pod.process.kill()
            return await pod.process.wait()

    async def end_all(self) -> dict[str, int]:
        """End what runs, callers before those they call; returns the exit codes."""
        running = [self.pods.pop(role) for role in reversed(PORTS) if role in self.pods]
        return {pod.role: await self.end(pod) for pod in running}

    async def kill_stragglers(self) -> None:
        """Let nothing outlive a test that failed."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                await process.wait()

    def errors(self) -> list[str]:
        """What pods, ended or not, wrote down as an error."""
        lines = [line for log in self._folder.glob("*/log") for line in log.read_text().splitlines()]
        return [line for line in lines if '"level": "error"' in line]

    def on_this_machine(self, environment: Environment, address: str, folder: Path) -> dict[str, str]:
        """The chart's environment, with the pod's own address and folders, and the test's name server."""
        changed = {
            name: self._named(value)
            for name, value in environment.items()
            if name.endswith("_ADDRESS") and name != "TEMPORAL_ADDRESS"
        }
        if "WORKSPACE_DIR" in environment:
            changed["WORKSPACE_DIR"] = str(folder / "workspace")
        return {**environment, **self._surroundings(folder), **changed, "HOST": address}

    def _surroundings(self, folder: Path) -> dict[str, str]:
        """What an image brings."""
        return {"PATH": os.environ["PATH"], "HOME": str(folder), "TMPDIR": str(folder)}

    def _address(self, role: str) -> str:
        """The address the chart gives to those who call a role; the gateway calls them all."""
        return self._environments["gateway"][f"{role.upper()}_ADDRESS"]

    def _named(self, address: str) -> str:
        return f"dns://127.0.0.1:{self._names.port}/{address}"

    def _new_folder(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder


async def _nobody_asked(_url: str) -> None: ...


async def _until(holds: Callable[[], Awaitable[bool]], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():
            await asyncio.sleep(0.05)


async def _ready(pod: Pod) -> bool:
    """What the readiness probe finds."""
    assert pod.process.returncode is None, "it ended"
    if pod.role == "gateway":
        return await _http_ready(f"http://{pod.address}:{pod.port}/readyz")
    async with grpc.aio.insecure_channel(f"{pod.address}:{pod.port}") as channel:
        health: Any = HealthStub(channel)  # its types know no methods
        try:
            answer = await health.Check(HealthCheckRequest(), timeout=PROBE_TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return False
    return answer.status == HealthCheckResponse.SERVING


async def _http_ready(url: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(url) as response:
            return response.ok
    except (aiohttp.ClientError, TimeoutError):
        return False
