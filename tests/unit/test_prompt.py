"""The prompt is the agent's fragments and the platform's rules, and nothing else."""

import hashlib

import pytest

from aucert.astra.v1.agent_pb2 import Agent, Personality, ToolChoice
from aucert.astra.v1.transcript_pb2 import TranscriptTurn
from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_USER, Message, Part
from aucert.models.v1.model_pb2 import Model, Pricing
from aucert.tools.v1.tool_pb2 import (
    TOOL_APPROVAL_NONE,
    TOOL_APPROVAL_REQUIRED,
    TOOL_EFFECT_READ,
    TOOL_EFFECT_UNSPECIFIED,
    TOOL_EFFECT_WRITE,
    TOOL_TRUST_ANY,
    TOOL_TRUST_STANDING,
    Tool,
)
from services.astra.first_agent import FRAGMENTS
from services.worker.costs import worst_case_usd_micros
from services.worker.prompt import assemble, conversation, definitions, offered

AGENT = Agent(
    personalities=[
        Personality(slug="who", text="You write specs.\n"),
        Personality(slug="review", text="Review with care.", operations=["review"]),
        Personality(slug="how", text="Be short.", operations=["answer", "review"]),
    ]
)
READ = Tool(
    name="repo_read_file",
    method="aucert.tools.v1.RepoService/ReadFile",
    effect=TOOL_EFFECT_READ,
    trust=TOOL_TRUST_ANY,
    approval=TOOL_APPROVAL_NONE,
)
SEARCH = Tool(
    name="web_search",
    method="aucert.tools.v1.WebService/Search",
    effect=TOOL_EFFECT_READ,
    trust=TOOL_TRUST_ANY,
    approval=TOOL_APPROVAL_NONE,
)


def test_fragments_are_joined_in_order_and_filtered_by_operation() -> None:
    text = assemble(AGENT, operation="answer", model_label="R0").text

    assert text.startswith("You write specs.\n\nBe short.\n\nRules of the platform:")
    assert "Review with care." in assemble(AGENT, operation="review", model_label="R0").text


@pytest.mark.parametrize(
    "operation", ["answer", *sorted({each for named in FRAGMENTS.values() for each in named})]
)
def test_each_operation_has_the_instructions_written_for_it_and_no_other(operation: str) -> None:
    shipped = Agent(
        personalities=[
            Personality(slug=slug, text=f"<{slug}>", operations=named) for slug, named in FRAGMENTS.items()
        ]
    )
    text = assemble(shipped, operation=operation, model_label="R0").text
    mine = [slug for slug, named in FRAGMENTS.items() if not named or operation in named]
    assert mine == [slug for slug in FRAGMENTS if f"<{slug}>" in text]


def test_the_model_is_told_its_label_and_not_to_write_it() -> None:
    assert (
        "labelled [S46]; do not write that label"
        in assemble(AGENT, operation="answer", model_label="S46").text
    )


def test_the_hash_is_of_the_text_the_model_reads() -> None:
    prompt = assemble(AGENT, operation="answer", model_label="R0")

    assert hashlib.sha256(prompt.text.encode()).hexdigest() == prompt.sha256
    assert prompt == assemble(AGENT, operation="answer", model_label="R0")


def names(
    tools: list[Tool],
    *choices: ToolChoice,
    agent: str = "atlas",
    operation: str = "answer",
    has_repository: bool = True,
    trusted: bool = True,
) -> list[str]:
    """What a run is offered."""
    who = Agent(slug=agent, tools=choices)
    found = offered(tools, agent=who, operation=operation, has_repository=has_repository, trusted=trusted)
    return [each.name for each in found]


def test_repository_tools_are_offered_only_with_a_repository() -> None:
    assert [READ.name, SEARCH.name] == names([READ, SEARCH])
    assert [SEARCH.name] == names([READ, SEARCH], has_repository=False)


def test_a_run_of_strangers_is_offered_only_what_is_for_any_run() -> None:
    write = Tool(
        name="github_create_issue",
        effect=TOOL_EFFECT_WRITE,
        trust=TOOL_TRUST_STANDING,
        approval=TOOL_APPROVAL_NONE,
    )
    unsaid = Tool(name="odd", effect=TOOL_EFFECT_READ, approval=TOOL_APPROVAL_NONE)

    assert [write.name, READ.name, unsaid.name] == names([write, READ, unsaid])
    assert [READ.name] == names([write, READ, unsaid], trusted=False)


def test_a_tool_of_some_agents_is_offered_to_their_runs_only() -> None:
    theirs = Tool(
        name="tracker_search",
        effect=TOOL_EFFECT_READ,
        approval=TOOL_APPROVAL_NONE,
        agents=["atlas", "scribe"],
    )
    assert [theirs.name] == names([theirs], agent="scribe")
    assert [] == names([theirs], agent="reviewer")


@pytest.mark.parametrize(
    "tool",
    [
        Tool(name="odd", effect=TOOL_EFFECT_UNSPECIFIED, approval=TOOL_APPROVAL_NONE),
        Tool(name="dear", effect=TOOL_EFFECT_READ, approval=TOOL_APPROVAL_REQUIRED),
        Tool(name="unsaid", effect=TOOL_EFFECT_READ),
    ],
)
def test_a_tool_without_effect_or_that_needs_approval_is_not_offered(tool: Tool) -> None:
    assert names([tool]) == []


def test_a_model_reads_of_a_tool_what_it_is_called_does_and_takes() -> None:
    [definition] = definitions([Tool(name="t", description="d", parameters_json="{}", method="m")])

    assert ("t", "d", "{}") == (definition.name, definition.description, definition.parameters_json)


def test_an_empty_turn_is_left_out_of_the_conversation() -> None:
    said = Message(role=ROLE_USER, parts=[Part(text="hello")])

    assert [said] == conversation(
        [TranscriptTurn(message=said), TranscriptTurn(message=Message(role=ROLE_ASSISTANT))]
    )


def test_the_worst_case_reads_all_at_the_dearest_rate_and_fills_the_output() -> None:
    pricing = Pricing(
        input_usd_micros=3_000_000, cache_write_usd_micros=4_000_000, output_usd_micros=15_000_000
    )
    model = Model(context_tokens_max=10_000, output_tokens_max=100, pricing=pricing)

    assert 50 * 4 + 100 * 15 == worst_case_usd_micros(model, framing_bytes=100, messages=[])
    assert 10_000 * 4 + 100 * 15 == worst_case_usd_micros(model, framing_bytes=1_000_000, messages=[])


def test_the_worst_case_is_rounded_up() -> None:
    model = Model(context_tokens_max=10, pricing=Pricing(input_usd_micros=1))

    assert worst_case_usd_micros(model, framing_bytes=1, messages=[]) == 1


def test_an_agents_runs_are_offered_what_was_chosen_for_it_and_the_operation() -> None:
    chosen = (ToolChoice(name="repo_*"), ToolChoice(operation="spec_generate", name=SEARCH.name))
    assert [READ.name] == names([READ, SEARCH], *chosen)
    assert [READ.name, SEARCH.name] == names([READ, SEARCH], *chosen, operation="spec_generate")
    assert [READ.name, SEARCH.name] == names([READ, SEARCH], ToolChoice(name="*"))
    assert [] == names([READ], ToolChoice(operation="spec_generate", name="repo_*"))
