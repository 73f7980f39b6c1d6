"""The model catalogue, routing and cost."""

from __future__ import annotations

import pytest

from services.models.catalogue import Catalogue, build
from services.models.catalogue_file import CatalogueError, read, shipped
from services.models.cost import cost_usd_micros
from services.models.domain import Capability, ModelEntry, Price, TokenCount
from services.models.errors import ModelNotFound, ModelOff
from services.models.installation import build_catalogue, read_catalogue_file
from services.models.routing import Asked, resolve
from services.models.settings import ModelsSettings
from services.worker.labels import labelled

PRICE = Price(3_000_000, 15_000_000, 300_000, 3_750_000)
PROVIDERS = ("anthropic", "bedrock", "foundry", "openai", "rehearsal")
ON = dict.fromkeys(PROVIDERS, "")
VARIABLES = {"OPENAI_MODEL": "qwen", "FOUNDRY_MODEL": "Kimi-K2.6"}
BEDROCK = {"AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": "k"}
ANTHROPIC = {"ANTHROPIC_API_KEY": "k"}
FOUNDRY = {"FOUNDRY_ENDPOINT": "https://x", "FOUNDRY_API_KEY": "k"}


def load(text: str, own: str = "") -> Catalogue:
    return build(read(text, own), off_reasons=ON, variables=VARIABLES)


def configured(**variables: str) -> Catalogue:
    settings = ModelsSettings(_env_file=None, ASTRA_TOKEN="x", **variables)
    return build_catalogue(settings, read_catalogue_file(settings))


def entry(alias: str, *tags: str, off_reason: str = "", fallbacks: tuple[str, ...] = ()) -> ModelEntry:
    return ModelEntry(
        alias, alias.upper(), "rehearsal", alias, 1_000, 100, PRICE, tags, off_reason, fallbacks=fallbacks
    )


CATALOGUE = Catalogue(
    (
        entry("kimi", "kimi", "k2"),
        entry("off", "off", off_reason="no key"),
        entry("opus", "opus"),
        entry("spare", "spare", off_reason="no key", fallbacks=("off", "opus")),
    ),
    {"review": ("off", "opus"), "broken": ("off",)},
)


def chosen(
    operation: str = "answer",
    tags: tuple[str, ...] = (),
    alias: str = "",
    default: str = "kimi",
    agent: str = "",
    defaults: dict[tuple[str, str], str] | None = None,
) -> list[str]:
    asked = Asked(operation, tags, alias, agent, defaults or {})
    found = resolve(CATALOGUE, asked, default_alias=default)
    return [each.alias for each in found]


def test_the_shipped_models_are_those_promised():
    shown = {
        each.alias: (each.label, each.provider, each.provider_model_id) for each in load(shipped()).entries
    }
    assert shown == {
        "glm": ("G47", "bedrock", "zai.glm-4.7"),
        "kimi": ("K26", "foundry", "Kimi-K2.6"),
        "kimi-k2.5": ("K25", "bedrock", "moonshotai.kimi-k2.5"),
        "local": ("L0", "openai", "qwen"),
        "opus": ("O47", "bedrock", "us.anthropic.claude-opus-4-7"),
        "opus-direct": ("O47", "anthropic", "claude-opus-4-7"),
        "rehearsal": ("R0", "rehearsal", "rehearsal-1"),
        "sonnet": ("S46", "bedrock", "us.anthropic.claude-sonnet-4-6"),
    }


def test_every_shipped_label_is_one_the_worker_takes_off_an_answer_that_already_has_it():
    for each in load(shipped()).entries:
        assert f"[{each.label}] Done." == labelled(f"[{each.label}] Done.", each.label)


def test_without_credentials_all_but_the_rehearsal_are_off_and_say_what_is_missing():
    catalogue = configured()
    assert {each.alias: each.off_reason for each in catalogue.entries if each.off_reason} == {
        "glm": "AWS_REGION is not set",
        "kimi": "FOUNDRY_ENDPOINT and FOUNDRY_API_KEY are not set",
        "kimi-k2.5": "AWS_REGION is not set",
        "local": "OPENAI_BASE_URL is not set",
        "opus": "AWS_REGION is not set",
        "opus-direct": "ANTHROPIC_API_KEY is not set",
        "sonnet": "AWS_REGION is not set",
    }
    assert catalogue.default_alias("") == "rehearsal"
    with pytest.raises(ModelOff, match="OPENAI_BASE_URL"):
        catalogue.callable_entry("local")


def test_half_a_configuration_is_off_and_names_the_other_half():
    assert configured(FOUNDRY_ENDPOINT="https://x").entry("kimi").off_reason == "FOUNDRY_API_KEY is not set"
    assert "AWS_BEARER_TOKEN_BEDROCK" in configured(AWS_REGION="us-east-1").entry("sonnet").off_reason
    assert configured(AWS_DEFAULT_REGION="us-east-1", AWS_PROFILE="dev").entry("sonnet").off_reason == ""


@pytest.mark.parametrize(
    ("variables", "conversation", "specification"),
    [
        ({}, "rehearsal", "rehearsal"),
        (BEDROCK, "sonnet", "opus"),
        (ANTHROPIC, "opus-direct", "opus-direct"),
        (FOUNDRY, "kimi", "kimi"),
        ({**BEDROCK, **ANTHROPIC, **FOUNDRY}, "sonnet", "opus"),
        ({**BEDROCK, "DEFAULT_MODEL": "glm"}, "glm", "opus"),
    ],
)
def test_conversations_and_specifications_go_to_the_best_model_that_is_on(
    variables: dict[str, str], conversation: str, specification: str
):
    catalogue = configured(**variables)
    default = catalogue.default_alias(variables.get("DEFAULT_MODEL", ""))
    for operation, expected in (
        ("answer", conversation),
        ("spec_finalize", specification),
        ("spec_generate", specification),
        ("spec_synthesize", specification),
    ):
        found = resolve(catalogue, Asked(operation), default_alias=default)
        assert [each.alias for each in found] == [expected]


def test_kimi_is_the_one_on_foundry_or_else_the_one_on_bedrock():
    for variables, expected in ((FOUNDRY, "K26"), (BEDROCK, "K25"), ({**FOUNDRY, **BEDROCK}, "K26")):
        found = resolve(configured(**variables), Asked("answer", ["Kimi"]), default_alias="rehearsal")
        assert [each.label for each in found] == [expected]


@pytest.mark.parametrize(
    ("defaults", "expected"),
    [
        ({}, "opus"),  # the route
        ({("", ""): "kimi"}, "kimi"),
        ({("", ""): "opus", ("", "review"): "kimi"}, "kimi"),
        ({("", "review"): "opus", ("atlas", ""): "kimi"}, "kimi"),
        ({("atlas", ""): "opus", ("atlas", "review"): "kimi"}, "kimi"),
        ({("apollo", "review"): "kimi", ("", "answer"): "kimi"}, "opus"),  # others' and other operations'
        ({("atlas", "review"): "spare"}, "opus"),  # off: its fallback
        ({("atlas", "review"): "off", ("", "review"): "kimi"}, "kimi"),  # off: the next
        ({("atlas", "review"): "gpt-9", ("", ""): "kimi"}, "kimi"),  # no longer in the catalogue
    ],
)
def test_what_is_set_for_the_agent_goes_before_the_tenants_and_that_before_the_route(
    defaults: dict[tuple[str, str], str], expected: str
):
    assert chosen("review", agent="atlas", defaults=defaults) == [expected]


def test_a_tag_and_a_name_are_stronger_than_what_is_set():
    defaults = {("atlas", "review"): "kimi"}
    assert chosen("review", ("opus",), agent="atlas", defaults=defaults) == ["opus"]
    assert chosen("review", alias="opus", agent="atlas", defaults=defaults) == ["opus"]


def test_an_alias_that_is_no_model_is_not_found():
    with pytest.raises(ModelNotFound):
        CATALOGUE.entry("gpt-9")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('alias = "local"', 'alias = "rehearsal"', "two models have the alias rehearsal"),
        ('label = "L0"', 'label = "L9"', "model local: unknown label L9"),
        ('label = "L0"', 'label = "l0"', "label: String should match"),
        ('label = "L0"', "", "label: Field required"),
        ('tags = ["local"]', 'tags = ["rehearsal"]', "two models have the tag rehearsal"),
        ("input = 3_300_000, ", "", "price_usd_micros.input: Field required"),
        ("price_usd_micros = { input = 600_000, output = 2", "# ", "price_usd_micros: Field required"),
        ("cache_read = 330_000", "cache_read = -1", "price_usd_micros.cache_read"),
        ('provider = "openai"', 'provider = "opanai"', "no provider opanai"),
        ("$OPENAI_MODEL", "$NOTHING", "NOTHING"),
        ("[routes]", '[routes]\nreview = ["gpt"]', "names gpt"),
        ("[[models]]", "[[models", "no TOML"),
        ('"us.anthropic.claude-sonnet-4-6"', '"anthropic.claude-sonnet-4-6"', "bare Bedrock model id"),
        ('"moonshotai.kimi-k2.5"\non_demand = true', '"moonshotai.kimi-k2.5"', "on_demand = true"),
        ('"moonshotai.kimi-k2.5"', '"anthropic.claude-opus-4-7"', "name an inference profile"),
        ('"zai.glm-4.7"', '"glm"', "no Bedrock model id"),
        ('fallbacks = ["glm"]', 'fallbacks = ["gml"]', "fallback gml is no model"),
        ('fallbacks = ["glm"]', 'fallbacks = ["sonnet"]', "can cost more"),
        ('fallbacks = ["glm"]', 'fallbacks = ["kimi-k2.5"]', "is the model itself"),
        ('"$FOUNDRY_API_KEY"', '"sk-written-down"', "a key is never written here"),
        ('"tools", "forced_tools"]', '"tools", "telepathy"]', "capabilities"),
    ],
)
def test_a_catalogue_with_a_mistake_is_refused_by_name(old: str, new: str, complaint: str):
    assert old in shipped()
    with pytest.raises(CatalogueError) as refused:
        load(shipped().replace(old, new))
    assert complaint in str(refused.value)
    assert "sk-written-down" not in str(refused.value)


@pytest.mark.parametrize(
    "model_id",
    [
        "eu.anthropic.claude-sonnet-4-6",
        "global.anthropic.claude-opus-4-7",
        "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123",
    ],
)
def test_inference_profiles_of_any_geography_and_arns_are_taken(model_id: str):
    catalogue = load(shipped().replace("us.anthropic.claude-sonnet-4-6", model_id))
    assert catalogue.entry("sonnet").provider_model_id == model_id


OWN = """
[labels]
Q3 = "Qwen 3"
[routes]
default = ["qwen"]
[servers.vllm]
base_url = "http://127.0.0.1:8000/v1"
api_key = "$VLLM_KEY"
[[models]]
alias = "qwen"
label = "Q3"
provider = "vllm"
provider_model_id = "Qwen/Qwen3"
context_tokens_max = 32_768
output_tokens_max = 4_096
capabilities = ["tools"]
price_usd_micros = { input = 1, output = 1, cache_read = 1, cache_write = 1 }
[[models]]
alias = "glm"
label = "G47"
provider = "bedrock"
provider_model_id = "eu.zai.glm-4.7"
context_tokens_max = 1_000
output_tokens_max = 1_000
capabilities = []
price_usd_micros = { input = 1, output = 1, cache_read = 1, cache_write = 1 }
"""


def test_a_catalogue_of_ones_own_adds_servers_and_models_and_replaces_shipped_ones(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN)
    catalogue = configured(MODELS_CATALOGUE=str(path), MODELS_SERVER_KEYS='{"VLLM_KEY": "k"}')
    assert catalogue.default_alias("") == "qwen"
    assert catalogue.entry("glm").provider_model_id == "eu.zai.glm-4.7"
    assert not catalogue.entry("glm").can(Capability.TOOLS)
    assert catalogue.entry("sonnet").label == "S46"


def test_a_catalogue_of_ones_own_that_cannot_be_read_stops_the_start(tmp_path):
    with pytest.raises(CatalogueError, match="MODELS_CATALOGUE"):
        configured(MODELS_CATALOGUE=str(tmp_path / "nothing.toml"))
    (tmp_path / "own.toml").write_text(OWN.replace("[servers.vllm]", "[servers.bedrock]"))
    with pytest.raises(CatalogueError, match="bedrock"):
        configured(MODELS_CATALOGUE=str(tmp_path / "own.toml"))
    (tmp_path / "own.toml").write_text(OWN)
    with pytest.raises(CatalogueError, match="VLLM_KEY"):
        configured(MODELS_CATALOGUE=str(tmp_path / "own.toml"))


def test_tags_choose_models_in_order_without_repetition_in_any_case():
    assert chosen(tags=("OPUS", "todo", "k2", "kimi")) == ["opus", "kimi"]


def test_without_a_known_tag_the_operations_route_or_the_default_answers():
    assert chosen(tags=("todo",)) == ["kimi"]
    assert chosen("review") == ["opus"]


def test_an_alias_is_stronger_than_tags():
    assert chosen(tags=("opus",), alias="kimi") == ["kimi"]


def test_a_tag_of_a_model_that_is_off_is_an_ordinary_word():
    assert chosen(tags=("off",)) == ["kimi"]
    assert chosen(tags=("off", "opus")) == ["opus"]


def test_a_tag_of_a_model_that_is_off_chooses_the_first_fallback_that_is_on():
    assert chosen(tags=("spare", "kimi")) == ["opus", "kimi"]


def test_a_model_that_is_off_is_refused_when_asked_for_by_name():
    with pytest.raises(ModelOff):
        chosen(alias="off")


def test_a_route_that_is_all_off_is_answered_by_the_default():
    assert chosen("broken") == ["kimi"]


def test_an_unknown_alias_is_not_found():
    with pytest.raises(ModelNotFound):
        chosen(alias="gpt-9")


def test_cost_counts_each_kind_of_token_at_its_price():
    tokens = TokenCount(input=1_000_000, output=100_000, cache_read=10_000_000, cache_write=200_000)
    assert cost_usd_micros(tokens, PRICE) == 3_000_000 + 1_500_000 + 3_000_000 + 750_000


def test_cost_is_rounded_up_and_never_for_nothing():
    assert cost_usd_micros(TokenCount(cache_read=1), PRICE) == 1
    assert cost_usd_micros(TokenCount(), PRICE) == 0
