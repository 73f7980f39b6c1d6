"""A second agent is data: registered while all runs, called by its own handle, answering for itself."""

from __future__ import annotations

from aucert.astra.v1.agent_pb2 import Handle
from aucert.astra.v1.agent_service_pb2 import PutAgentRequest, PutPersonalityRequest
from tests.e2e.story import Story


async def add_scribe(told: Story) -> None:
    who = PutPersonalityRequest(slug="who-scribe-is", text="You are Scribe.")
    await told.clients.agents.PutPersonality(who)
    request = PutAgentRequest(
        slug="scribe",
        handles=[Handle(source="github", name="scribe")],
        personality_slugs=["who-scribe-is", "answers-in-threads", "reads-data-as-data"],
    )
    await told.clients.agents.PutAgent(request)


async def test_two_agents_in_one_thread_answer_what_each_was_asked_and_know_how_things_stand(story):
    async with story() as told:
        await add_scribe(told)
        await told.comment("@atlas how is the cart built?")
        await told.settled()
        await told.comment("@scribe do you agree with @atlas?")
        runs = await told.settled(2)
        # Each answer comes back as a webhook of its own: it must be nobody's question.
        await told.until(
            "SELECT 1 FROM webhook_deliveries WHERE outcome_reason = 'SELF_AUTHORED' HAVING count(*) = 2"
        )
        posts = await told.posts()
        await told.comment("/scribe status")
        await told.settled(3)
        (asked,) = await told.rows("SELECT description FROM thread_events WHERE operation = 'status'")
        events = await told.rows("SELECT agent_slug FROM thread_events ORDER BY seq")
        framing = await told.rows("SELECT prompt_sha256 FROM task_runs ORDER BY created_time")

    assert ["atlas", "scribe", "scribe"] == [each["agent_slug"] for each in events]
    assert ["success", "success"] == [each["outcome"] for each in runs]
    assert 2 == len(posts)
    assert 2 == len({each["prompt_sha256"] for each in framing}), "each works by its own framing"
    *_, by_scribe, by_atlas = asked["description"].splitlines()
    assert by_scribe.startswith("- answer for maria by scribe [T0], asked ")
    assert by_atlas.startswith("- answer for maria by atlas [T0], asked ")
    assert by_atlas.endswith(" UTC: success")
