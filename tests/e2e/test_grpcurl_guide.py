"""docs/grpcurl.md is typed into bash, command by command, and shows what the page says it shows."""

from __future__ import annotations

import asyncio
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from aucert.astra.v1 import repository_service_pb2
from services.cli.state import Secrets
from tests.e2e.conftest import RunStory
from tests.e2e.story import PATIENCE_SECONDS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "grpcurl.md"
LIVE_CHECK = ROOT / "docs" / "live-check.md"
QUERY = re.compile(r'astra sql "([^"]+)"')
FENCE = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINES_LEFT_OUT = re.compile(r"^…\n", re.MULTILINE)
MARK = "== typed =="
CHANGING = {
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}": "<id>",
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z": "<time>",
    r'(?<="cloneUrl": ")[^"]*': "<path>",
}
"""What differs each time, and what stands for it in the comparison."""

pytestmark = pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="the packaged grpcurl is for these"
)


@dataclass(frozen=True)
class Step:
    """Commands of one block, and what the page says they show."""

    commands: str
    shown: str


def steps(page: str) -> list[Step]:
    """The blocks of the page, in order; one that no text follows shows nothing."""
    found: list[Step] = []
    for kind, body in FENCE.findall(page):
        if kind == "bash":
            found.append(Step(body, ""))
        else:
            found[-1] = replace(found[-1], shown=found[-1].shown + body)
    return found


def fits(shown: str, seen: str) -> bool:
    """Whether this was seen, `…` standing for anything, on a line of its own for any lines or none."""
    pattern = re.escape(LINES_LEFT_OUT.sub("…", normal(shown))).replace("…", ".*?")
    return re.fullmatch(pattern, normal(seen), re.DOTALL) is not None


def normal(text: str) -> str:
    for pattern, word in CHANGING.items():
        text = re.sub(pattern, word, text)
    return text.strip()


async def typed(commands: list[str], folder: Path) -> list[str]:
    """What bash shows for each block, in one session."""
    # `echo $?` on the page must see the page's own last command, not the mark.
    marked = "".join(f"{each}status=$?; echo '{MARK}'; (exit $status)\n" for each in commands)
    script = f"exec 2>&1 </dev/null\n{marked}"
    bash = await asyncio.create_subprocess_exec(
        *("bash", "--noprofile", "--norc", "-c", script), cwd=folder, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await asyncio.wait_for(bash.communicate(), PATIENCE_SECONDS)
    return out.decode().split(f"{MARK}\n")[:-1]


@pytest.fixture(scope="session")
def credentials(credentials: Secrets, tokens: Mapping[str, str]) -> Secrets:
    """As `astra up` leaves them: the tokens in secrets.json are those the database knows."""
    return replace(credentials, tokens=dict(tokens))


async def test_every_command_of_the_grpcurl_guide_shows_what_the_page_says(
    story: RunStory, repository, tmp_path
):
    guide = steps(GUIDE.read_text())
    async with story() as told:
        checkout = tmp_path / "checkout"
        checkout.mkdir()
        for name, place in {".astra": told.state, ".venv": Path(sys.prefix), "gen": ROOT / "gen"}.items():
            (checkout / name).symlink_to(place)
        shop = repository_service_pb2.RegisterRepositoryRequest(slug="acme/shop", clone_url=str(repository))
        await told.clients.repositories.RegisterRepository(shop)
        seen = await typed([each.commands for each in guide], checkout)
        for query in QUERY.findall(LIVE_CHECK.read_text()):
            assert await told.rows(query) or "webhook_deliveries" in query
    assert len(guide) == len(seen) > 10
    for step, saw in zip(guide, seen, strict=True):
        assert fits(step.shown, saw), f"$ {step.commands}\n{saw}\n--- the page says ---\n{step.shown}"


@pytest.mark.parametrize(
    ("shown", "seen", "same"),
    [
        ("a\n…\nc\n", "a\nb\nc", True),
        ("a\n…\nc\n", "a\nc", True),
        ("a\n…\nc\n", "a\nb\nd", False),
        (
            '"id": "773b621c-48f5-59f8-bc77-059901d1b27f"',
            '"id": "673b621c-48f5-59f8-bc77-059901d1b27f"',
            True,
        ),
        ("", "command not found", False),
    ],
)
def test_a_page_is_compared_whole_but_for_what_changes(shown: str, seen: str, same: bool):
    assert same == fits(shown, seen)
