"""Has the contenders take turns, and looks into their tables; checks every result, judges no figure."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.ingest_bench import webhooks
from scripts.ingest_bench.contenders import Contender, contenders
from scripts.loop_bench.measuring import in_turn, say
from scripts.loop_bench.processes import Contender as Child
from scripts.loop_bench.processes import WrongResult, child

LANES = 64
WARM_UP_WEBHOOKS = 256
ROUND_WEBHOOKS = 1_024


@dataclass(frozen=True, slots=True)
class Round:
    """What came of sending one batch to one contender; `seconds` from the first sent to the last answered."""

    webhooks: int
    seconds: float
    milliseconds: Sequence[float]
    cpu_seconds: Mapping[str, float]
    """By process, until the last answer."""

    @property
    def per_second(self) -> float:
        """Accepted and, where the contender stores at all, committed."""
        return self.webhooks / self.seconds


Results = Mapping[str, list[Round]]


class Arena:
    """The contenders, ready, and the load."""

    def __init__(self, known: Sequence[Contender], load: Child) -> None:
        self._known = known
        self._load = load

    async def measure(self, rounds: int) -> Results:
        """Every round. Raises WrongResult."""
        for contender in self._known:
            await self.round(contender, WARM_UP_WEBHOOKS)
        results: dict[str, list[Round]] = {contender.name: [] for contender in self._known}
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for contender in in_turn(self._known, number):
                results[contender.name].append(await self.round(contender, ROUND_WEBHOOKS))
        return results

    async def round(self, contender: Contender, count: int) -> Round:
        """Send a batch, check that all of it was accepted and kept, wait until what follows of it is done."""
        names = webhooks.names(secrets.token_hex(6).upper(), count)
        before = contender.cpu_seconds()
        sent = await self._load.ask("send", url=contender.url, names=names, lanes=LANES)
        after = contender.cpu_seconds()
        if sent["statuses"] != {contender.status: count}:
            raise WrongResult(
                f"{contender.name} answered {sent['statuses']}, all {count} with {contender.status}"
            )
        if contender.database_url:
            check(contender.name, names, await contender.kept(names))
        await contender.settled()
        spent = {name: after[name] - before[name] for name in after}
        return Round(count, sent["seconds"], sent["milliseconds"], spent)


@asynccontextmanager
async def arena(folder: Path) -> AsyncIterator[Arena]:
    """Start the load and all contenders; they end with the block."""
    async with AsyncExitStack() as exits:
        process = await exits.enter_async_context(child("scripts.ingest_bench.load"))
        load = Child("load", process)
        await load.answer(60)
        yield Arena(await exits.enter_async_context(contenders(folder)), load)


def check(name: str, sent: Sequence[str], kept: Mapping[str, bytes]) -> None:
    """What was accepted must be in the table, byte for byte. Raises WrongResult."""
    lost = [each for each in sent if each not in kept]
    if lost:
        raise WrongResult(f"{name} accepted {len(sent)} webhooks and lost {len(lost)} of them")
    changed = [each for each in sent if kept[each] != hashlib.sha256(webhooks.body(each)).digest()]
    if changed:
        raise WrongResult(f"{name} keeps {len(changed)} webhooks with other bytes than were sent")
