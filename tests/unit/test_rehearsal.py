"""The rehearsal model: a pure function of the conversation, honest about what it is."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from aucert.models.v1.message_pb2 import ROLE_ASSISTANT, ROLE_TOOL, ROLE_USER, Message, Part, ToolResult
from aucert.models.v1.model_service_pb2 import GenerateRequest, ToolDefinition
from services.models.rehearsal import next_message
from services.models.rehearsal_reading import asks, best_paths, exchanges, telling_words

TOOLS = [
    ToolDefinition(name=name)
    for name in ("repo_git_log", "repo_list_adrs", "repo_list_files", "repo_read_file", "repo_search_text")
]
RETURNED = {
    "repo_list_files": "README.md (120 bytes)\nsrc/ (folder)\n",
    "repo_list_adrs": "docs/adr/0007-use-grpc.md: Use gRPC (accepted)\n",
    "repo_search_text": "src/app.py:12: def handle_order(order):\nsrc/app.py:40: handle_order(o)\na.md:3: x",
    "repo_read_file": "     1\tdef handle_order(order):\n     2\t    return `order`\n",
    "repo_git_log": "3f2a9c1 2026-05-01 Ada: Handle orders\n",
}


def user(text: str) -> Message:
    return Message(role=ROLE_USER, parts=[Part(text=text)])


def results(turn: Message, returned: dict[str, str] | None = None, *, failed: bool = False) -> Message:
    answers = [
        ToolResult(
            call_id=part.tool_call.call_id,
            text=(returned or RETURNED)[part.tool_call.tool_name],
            failed=failed,
        )
        for part in turn.parts
    ]
    return Message(role=ROLE_TOOL, parts=[Part(tool_result=each) for each in answers])


def play(messages: list[Message], tools: list[ToolDefinition]) -> list[Message]:
    """Play until the model stops calling tools; three turns are its most."""
    for _ in range(3):
        turn = next_message(GenerateRequest(messages=messages, tools=tools))
        messages = [*messages, turn]
        if turn.parts[0].HasField("text"):
            return messages
        messages.append(results(turn))
    raise AssertionError("it never answered")


def names(turn: Message) -> list[str]:
    return [part.tool_call.tool_name for part in turn.parts]


def test_it_surveys_then_reads_then_answers_with_verbatim_cited_lines():
    played = play([user("@atlas how does handle_order work?")], TOOLS)
    assert names(played[1]) == ["repo_list_files", "repo_list_adrs", "repo_search_text"]
    assert names(played[3]) == ["repo_read_file", "repo_read_file", "repo_git_log"]
    last = played[-1].parts[0].text
    assert "rehearsal model" in last
    assert "understand nothing" in last
    assert "- `src/app.py:1`: `def handle_order(order):`" in last
    assert "- `docs/adr/0007-use-grpc.md:1`: `def handle_order(order):`" in last


def test_its_search_looks_for_the_names_in_the_comment():
    turn = next_message(GenerateRequest(messages=[user("@atlas why is handle_order slow?")], tools=TOOLS))
    arguments = json.loads(turn.parts[2].tool_call.arguments_json)
    assert arguments["pattern"].startswith("handle_order")
    assert "atlas" not in arguments["pattern"]


def test_calls_have_the_platforms_ids():
    turn = next_message(GenerateRequest(messages=[user("Explain orders")], tools=TOOLS))
    assert [part.tool_call.call_id for part in turn.parts] == ["t1_0", "t1_1", "t1_2"]


def test_only_offered_tools_are_called():
    turn = next_message(GenerateRequest(messages=[user("Explain orders")], tools=TOOLS[1:2]))
    assert names(turn) == ["repo_list_adrs"]


def test_without_tools_it_answers_at_once_and_says_so():
    turn = next_message(GenerateRequest(messages=[user("Explain orders")]))
    assert "offered no tool" in turn.parts[0].text


def test_when_every_tool_fails_it_quotes_the_first_failure():
    messages = [user("Explain orders")]
    turn = next_message(GenerateRequest(messages=messages, tools=TOOLS))
    refused = dict.fromkeys(RETURNED, "This run has no repository.\nAsk for one.")
    messages += [turn, results(turn, refused, failed=True)]
    answered = next_message(GenerateRequest(messages=messages, tools=TOOLS)).parts[0].text
    assert "The first said: This run has no repository." in answered


def test_a_follow_up_is_quoted_beside_the_first_message():
    messages = [user("Explain orders")]
    for _ in range(2):
        turn = next_message(GenerateRequest(messages=messages, tools=TOOLS))
        messages += [turn, results(turn)]
    messages.append(user("And refunds?\nPlease."))
    answered = next_message(GenerateRequest(messages=messages, tools=TOOLS)).parts[0].text
    assert "I saw 2 messages:\n> Explain orders\n> And refunds?\n" in answered


def test_the_same_conversation_gets_the_same_bytes():
    first, second = (play([user("How does handle_order work?")], TOOLS) for _ in range(2))
    assert [each.SerializeToString() for each in first] == [each.SerializeToString() for each in second]


def test_of_a_described_event_only_the_request_itself_is_read():
    described = (
        'ada (MEMBER) wrote a comment on GitHub.\n\n- Issue: #7 "Slow_orders", https://example.com/7\n\n'
        "The issue was opened by bob with:\n```\nbilling_export\n```\n\n"
        "The request, by ada:\n````\n@atlas explain `handle_order`\n```\ncode\n```\n````"
    )
    assert asks([user(described)]) == ["@atlas explain `handle_order`\n```\ncode\n```"]
    answered = next_message(GenerateRequest(messages=[user(described)])).parts[0].text
    assert "> @atlas explain `handle_order`\n" in answered


def test_a_line_with_backticks_is_still_one_piece_of_code():
    assert "- `src/app.py:2`: `` return `order` ``" in play([user("handle_order?")], TOOLS)[-1].parts[0].text


def test_code_names_tell_more_than_long_words():
    assert telling_words(["What does internationalisation have to do with src/app.py?"])[0] == "src/app.py"


def test_the_file_with_most_hits_is_read_first():
    messages = play([user("handle_order?")], TOOLS)
    assert best_paths(exchanges(messages))[0] == "src/app.py"


@given(st.lists(st.text(max_size=200), min_size=1, max_size=4), st.text(max_size=500))
def test_no_text_breaks_it(said: list[str], returned: str):
    messages = [user(text) for text in said]
    assert len(asks(messages)) == len(said)
    for _ in range(3):
        turn = next_message(GenerateRequest(messages=messages, tools=TOOLS))
        messages.append(turn)
        assert turn.role == ROLE_ASSISTANT
        if not turn.parts[0].HasField("tool_call"):
            return
        messages.append(results(turn, dict.fromkeys(RETURNED, returned)))
    raise AssertionError("it never answered")
