"""The tool catalogue, derived from the contracts, and the arguments models write."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import event, given
from hypothesis import strategies as st

from aucert.astra.v1 import repository_service_pb2
from aucert.tools.v1 import repo_service_pb2, tool_pb2, tool_service_pb2
from services.common.errors import FieldInvalid, ServiceError
from services.tools import vendor_limits
from services.tools.catalogue import NAME, CatalogueError, read_catalogue, read_comments, shipped_image
from services.tools.failures import is_fixable
from services.tools.json_schema import SchemaError, object_schema
from services.tools.tool_arguments import ToolArgumentsInvalid, parse_arguments

IMAGE = shipped_image()
CATALOGUE = read_catalogue(IMAGE)
KEYWORDS = {
    "type": str,
    "properties": dict,
    "required": list,
    "additionalProperties": bool,
    "description": str,
    "enum": list,
    "items": dict,
    "minLength": int,
    "maxLength": int,
    "pattern": str,
    "format": str,
    "minimum": int,
    "maximum": int,
    "exclusiveMinimum": int,
    "exclusiveMaximum": int,
    "minItems": int,
    "maxItems": int,
    "uniqueItems": bool,
}
MEMBERS_READ = {"drive_search_files", "kb_search"}
"""What shows more than the place a stranger asked in."""
TYPES = {"object", "array", "string", "boolean", "integer", "number"}


def schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The schema and every schema within it."""
    yield schema
    for inner in [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]:
        yield from schemas(inner)


def parameters(name: str) -> dict[str, Any]:
    return json.loads(CATALOGUE[name].parameters_json)


def test_the_tools_are_there_in_the_order_of_their_names():
    assert list(CATALOGUE) == [
        "docs_create_document",
        "docs_get_document",
        "docs_insert_text",
        "docs_replace_text",
        "drive_create_comment",
        "drive_get_comment",
        "drive_list_comments",
        "drive_reply_to_comment",
        "drive_resolve_comment",
        "drive_search_files",
        "embed_text",
        "github_comment_on_issue",
        "github_create_issue",
        "github_get_file",
        "github_get_issue",
        "github_get_pull_request",
        "github_get_repository",
        "github_list_pull_request_files",
        "github_list_review_comments",
        "github_open_pull_request",
        "github_reply_to_review_comment",
        "github_search_code",
        "github_search_issues",
        "github_update_issue",
        "kb_search",
        "plane_add_comment",
        "plane_create_issue",
        "plane_get_issue",
        "plane_list_comments",
        "plane_list_projects",
        "plane_search_issues",
        "plane_update_issue",
        "repo_find_files",
        "repo_git_log",
        "repo_git_show",
        "repo_list_adrs",
        "repo_list_files",
        "repo_list_specs",
        "repo_outline_file",
        "repo_read_adr",
        "repo_read_file",
        "repo_read_spec",
        "repo_search_text",
        "slack_add_reaction",
        "slack_get_thread",
        "slack_get_user",
        "slack_list_channel_history",
        "slack_list_channels",
        "slack_post_message",
        "slack_reply_in_thread",
        "web_search",
    ]


def test_two_readings_give_the_same_bytes():
    def listed() -> bytes:
        tools = [entry.to_proto() for entry in read_catalogue(shipped_image()).values()]
        return tool_service_pb2.ListToolsResponse(tools=tools).SerializeToString(deterministic=True)

    assert listed() == listed()


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_tool_has_a_legal_name_a_description_and_a_promise(name: str):
    entry = CATALOGUE[name]
    assert NAME.fullmatch(name)
    assert len(entry.description) > 40
    reads = entry.options.effect == tool_pb2.TOOL_EFFECT_READ
    assert reads == (entry.timeout.total_seconds() == 30)
    assert (entry.options.trust == tool_pb2.TOOL_TRUST_ANY) == (reads and name not in MEMBERS_READ)
    assert reads == (not entry.writes)
    assert entry.options.approval == tool_pb2.TOOL_APPROVAL_NONE


@pytest.mark.parametrize("name", CATALOGUE)
def test_each_schema_uses_only_keywords_of_its_draft_with_values_of_their_kinds(name: str):
    for schema in schemas(parameters(name)):
        assert schema["type"] in TYPES
        for keyword, value in schema.items():
            assert type(value) is KEYWORDS[keyword]
        if schema["type"] == "object":
            assert schema["additionalProperties"] is False
            assert set(schema["required"]) <= set(schema["properties"])
        re.compile(schema.get("pattern", ""))


def test_a_schema_tells_what_the_contract_says():
    assert parameters("repo_read_file") == {
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 1,
                "maxLength": 1024,
                "description": "File from the root of the repository.",
            },
            "start_line": {
                "type": "integer",
                "minimum": 0,
                "maximum": 10000000,
                "description": "First line, from 1. 0: the first.",
            },
            "line_count": {
                "type": "integer",
                "minimum": 0,
                "maximum": 400,
                "description": "How many lines. 0: as many as fit, at most 400.",
            },
            "continuation": {
                "type": "string",
                "maxLength": 200,
                "description": "Token from the end of an earlier result, with the same arguments. "
                "Empty: from the start.",
            },
        },
        "required": ["path"],
        "additionalProperties": False,
    }


def test_a_field_whose_pattern_refuses_the_empty_text_is_required():
    assert parameters("repo_git_show")["required"] == ["commit"]
    assert parameters("repo_git_log")["required"] == []


def test_a_wrapped_comment_becomes_one_line():
    description = CATALOGUE["repo_find_files"].description
    assert "\n" not in description
    assert description.startswith("Find files by a glob over their whole path:")


def test_arrays_and_enums_keep_their_rules_and_lose_their_prefix():
    schema = object_schema(repository_service_pb2.RegisterRepositoryRequest.DESCRIPTOR, {})["properties"]
    assert schema["source_containers"] == {
        "type": "array",
        "items": {"type": "string", "pattern": "^[a-z-]+:[^ ]{1,200}$"},
        "maxItems": 32,
    }
    assert schema["start_policy"] == {"type": "string", "enum": ["standing_required", "anyone"]}


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (repo_service_pb2.RepoEntry, "size_bytes"),
        (repository_service_pb2.GetRepositoryRequest, "has a oneof"),
    ],
)
def test_what_models_cannot_fill_is_refused(message: type[Message], complaint: str):
    with pytest.raises(SchemaError, match=complaint):
        object_schema(message.DESCRIPTOR, {})


def test_an_image_without_comments_is_refused_by_the_name_of_a_tool():
    assert read_comments(IMAGE)
    with pytest.raises(CatalogueError, match=r"\w+ .* has no comment"):
        read_catalogue(b"")


def problem(tool: str, arguments: str) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        parse_arguments(CATALOGUE[tool], arguments)
    return caught.value


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ('{"path": ', "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('["README.md"]', "must be a JSON object, not an array"),
        ('{"file": "README.md"}', "'file', which is not known. Known: path, start_line, line_count"),
        ('{"path": 7}', "path must be a string, not a number"),
        ('{"path": "a", "start_line": "7"}', "start_line must be a whole number, not a string"),
        ('{"path": "a", "start_line": 7.5}', "start_line must be a whole number, not a number"),
        ('{"path": "a", "start_line": true}', "start_line must be a whole number, not true or false"),
        ('{"path": "a", "start_line": 99999999999}', "start_line holds a value out of range"),
        ('{"path": "a", "start_line": 1e999}', "start_line"),
        ('{"path": "\\ud800"}', "path holds a value out of range"),
    ],
)
def test_arguments_that_do_not_fit_are_told_by_name(arguments: str, complaint: str):
    found = problem("repo_read_file", arguments)
    assert isinstance(found, ToolArgumentsInvalid)
    assert complaint in found.message
    assert is_fixable(found)


def test_a_value_that_breaks_a_rule_is_told_by_its_field():
    found = problem("repo_read_file", '{"path": "a", "line_count": 401}')
    assert isinstance(found, FieldInvalid)
    assert found.violations[0][0] == "line_count"
    assert is_fixable(found)


def test_a_missing_required_argument_is_told_by_its_field():
    assert problem("repo_read_file", "").violations[0][0] == "path"


def test_null_says_nothing_and_a_whole_float_is_a_whole_number():
    request = parse_arguments(
        CATALOGUE["repo_read_file"], '{"path": "a", "continuation": null, "start_line": 7.0}'
    )
    assert request == repo_service_pb2.ReadFileRequest(path="a", start_line=7)


NAMES = st.sampled_from(["path", "recursive", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)


@given(JSON)
def test_any_json_is_parsed_or_refused_in_words(value: object):
    try:
        request = parse_arguments(CATALOGUE["repo_list_files"], json.dumps(value))
    except ServiceError as error:
        refusal = error.message
    else:
        refusal = ""
        assert isinstance(request, repo_service_pb2.ListFilesRequest)
    event("refused" if refusal else "parsed")
    assert isinstance(value, dict) or refusal


@pytest.mark.parametrize(
    ("tool", "figures"),
    [
        (
            "github_get_issue",
            (
                vendor_limits.GITHUB_POINTS_A_MINUTE,
                vendor_limits.GITHUB_POINTS_OF_A_WRITE,
                vendor_limits.GITHUB_CONTENT_A_MINUTE,
                vendor_limits.GITHUB_CONTENT_AN_HOUR,
            ),
        ),
        ("slack_get_user", (vendor_limits.SLACK_TIER_3, vendor_limits.SLACK_TIER_4)),
        ("plane_get_issue", (vendor_limits.PLANE_CALLS_A_MINUTE,)),
        ("docs_get_document", (vendor_limits.DOCS_READS_A_MINUTE, vendor_limits.DOCS_WRITES_A_MINUTE)),
    ],
)
def test_a_tool_tells_the_limits_that_are_kept(tool, figures):
    assert list(figures) == [int(each) for each in re.findall(r"\d+", CATALOGUE[tool].rate_limit)]


def test_what_a_repeated_call_does_follows_from_its_effect():
    told = {each.to_proto().effect: each.to_proto().retry for each in CATALOGUE.values()}
    assert {
        tool_pb2.TOOL_EFFECT_READ: tool_pb2.TOOL_RETRY_AGAIN,
        tool_pb2.TOOL_EFFECT_IDEMPOTENT_WRITE: tool_pb2.TOOL_RETRY_ONCE,
        tool_pb2.TOOL_EFFECT_WRITE: tool_pb2.TOOL_RETRY_ONCE,
    } == told
