"""The commands of docs/live-github.md that write files, and what docs/live-check.md refers to."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from services.cli.configuration import environment
from services.cli.doctor_github import credentials
from tests.service.github_app_kit import new_key, private_pem

ROOT = Path(__file__).parents[2]
LIVE_CHECK = (ROOT / "docs" / "live-check.md").read_text()
COMMANDS_SECONDS = 30
BY_HAND, PAGE, BY_MANIFEST = re.findall(
    r"^```bash\n(.*?)^```$", (ROOT / "docs" / "live-github.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the guide's commands find what they name."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def pem() -> str:
    return private_pem(new_key())


async def type_in(commands: str) -> None:
    bash = await asyncio.create_subprocess_exec("bash", "-euo", "pipefail", "-c", commands)
    assert 0 == await asyncio.wait_for(bash.wait(), COMMANDS_SECONDS)


def assert_configured(checkout: Path, pem: str) -> None:
    """`.env` is for its owner only and reads as the services read it."""
    assert 0o600 == (checkout / ".env").stat().st_mode & 0o777
    read = environment()
    assert ("astra-atlas-me", "the-secret-you-typed") == (
        read["GITHUB_APP_SLUG"],
        read["GITHUB_WEBHOOK_SECRET"],
    )
    app = credentials(read)
    assert ("123456", pem.strip()) == (app.app_id, app.private_key.get_secret_value().strip())


async def test_the_commands_of_the_way_by_hand_write_what_the_services_read(checkout: Path, pem: str):
    (checkout / "private-key.pem").write_text(pem)
    await type_in(BY_HAND)
    assert_configured(checkout, pem)


async def test_the_page_with_the_button_carries_the_manifest_with_name_and_address(checkout: Path):
    await type_in(PAGE)
    found: dict[str, dict[str, str | None]] = {}

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found[tag] = dict(attrs)

    Reader().feed((checkout / "app.html").read_text())
    assert "https://github.com/settings/apps/new" == found["form"]["action"]
    manifest = json.loads(found["input"]["value"] or "")
    assert "astra-atlas-me" == manifest["name"]
    assert "https://atlas.example/webhooks/github" == manifest["hook_attributes"]["url"]
    assert "CHANGE-ME" not in json.dumps(manifest)


async def test_the_commands_of_the_way_by_manifest_write_what_the_services_read(checkout: Path, pem: str):
    answer = {"id": 123456, "slug": "astra-atlas-me", "webhook_secret": "the-secret-you-typed", "pem": pem}
    (checkout / "app.json").write_text(json.dumps(answer))
    (checkout / "app.html").write_text("")
    await type_in(BY_MANIFEST)
    assert_configured(checkout, pem)
    assert not (checkout / "app.json").exists()


def test_the_check_explains_every_reason_for_which_a_delivery_of_githubs_starts_nothing():
    sources = (ROOT / "services/dispatcher/sources").glob("github*.py")
    given = {name for each in sources for name in re.findall(r"IgnoredReason\.(\w+)", each.read_text())}
    explained = set(re.findall(r"[A-Z]+(?:_[A-Z]+)+", LIVE_CHECK))
    assert given
    assert given <= explained


def test_the_tests_the_check_names_exist():
    named = set(re.findall(r"`(test_\w+\.py)`", LIVE_CHECK))
    assert named
    assert set() == named - {path.name for path in (ROOT / "tests").rglob("test_*.py")}
