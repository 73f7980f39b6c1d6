"""`astra doctor --source github` before a whole stack: the real gateway, registry and git."""

from __future__ import annotations

from services.cli.doctor_github import examine_github
from services.cli.state import Secrets
from tests.e2e.conftest import RunStory


async def test_a_running_stack_and_its_app_are_found_in_order(story: RunStory, credentials: Secrets):
    async with story(with_worker=False) as told:
        environment = {
            "GITHUB_API_URL": f"{told.sandbox_url}/github",
            "GITHUB_APP_ID": "1",
            "GITHUB_APP_SLUG": "astra-atlas",
            "GITHUB_APP_PRIVATE_KEY": credentials.app_private_key,
            "GITHUB_WEBHOOK_SECRET": credentials.webhook_secret,
            "PUBLIC_BASE_URL": told.stack.gateway_url,
        }
        found = await examine_github(told.state, environment)
        another = {**environment, "GITHUB_WEBHOOK_SECRET": "another"}
        found_with_another = await examine_github(told.state, another)
    assert [] == [str(each) for each in found if each.verdict != "ok"]
    assert told.slug == found[-1].subject
    (wrong,) = [each for each in found_with_another if each.verdict != "ok"]
    assert "runs with another GITHUB_WEBHOOK_SECRET" in wrong.detail
