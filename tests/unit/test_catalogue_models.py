"""The model catalogue, routing and cost."""

from __future__ import annotations

import pytest

from services.models.catalogue import Catalogue, CatalogueError, load, shipped
from services.models.cost import cost_usd_micros
from services.models.domain import ModelEntry, Price, TokenCount
from services.models.errors import ModelNotFound, ModelOff
from services.models.routing import resolve

PRICE = Price(3_000_000, 15_000_000, 300_000, 3_750_000)
ON = {"rehearsal": "", "openai": ""}
OFF = {"rehearsal": "", "openai": "OPENAI_BASE_URL is not set"}
VARIABLES = {"OPENAI_MODEL": "qwen"}


def entry(alias: str, *tags: str, off_reason: str = "") -> ModelEntry:
    return ModelEntry(alias, alias.upper(), "rehearsal", alias, 1_000, 100, PRICE, tags, off_reason)


CATALOGUE = Catalogue(
    (entry("kimi", "kimi", "k2"), entry("off", "off", off_reason="no key"), entry("opus", "opus")),
    {"review": "opus", "broken": "off"},
)


def chosen(
    operation: str = "answer", tags: tuple[str, ...] = (), alias: str = "", default: str = "kimi"
) -> list[str]:
    found = resolve(CATALOGUE, operation=operation, tags=tags, alias=alias, default_alias=default)
    return [each.alias for each in found]


def test_the_shipped_catalogue_loads_and_its_openai_model_is_off_without_a_base_url():
    catalogue = load(shipped(), off_reasons=OFF, variables=VARIABLES)
    assert [each.alias for each in catalogue.entries] == ["local", "rehearsal"]
    assert catalogue.entry("rehearsal").label == "R0"
    assert catalogue.entry("local").provider_model_id == "qwen"
    with pytest.raises(ModelOff, match="OPENAI_BASE_URL"):
        catalogue.callable_entry("local")


def test_an_alias_that_is_no_model_is_not_found():
    with pytest.raises(ModelNotFound):
        CATALOGUE.entry("gpt-9")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('alias = "local"', 'alias = "rehearsal"', "two models have the alias rehearsal"),
        ('label = "L0"', 'label = "R0"', "two models have the label R0"),
        ('label = "L0"', "", "label"),
        ('tags = ["local"]', 'tags = ["rehearsal"]', "two models have the tag rehearsal"),
        ("input = 0, ", "", "price_usd_micros.input"),
        ('provider = "openai"', 'provider = "opanai"', "no provider opanai"),
        ("$OPENAI_MODEL", "$NOTHING", "NOTHING"),
        ("[routes]", '[routes]\nreview = "gpt"', "names gpt"),
        ("[[models]]", "[[models", "catalogue.toml"),
    ],
)
def test_a_catalogue_with_a_mistake_is_refused_by_name(old: str, new: str, complaint: str):
    assert old in shipped()
    with pytest.raises(CatalogueError, match=complaint.replace("[", r"\[")):
        load(shipped().replace(old, new), off_reasons=ON, variables=VARIABLES)


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


def test_a_model_that_is_off_is_refused_when_asked_for_by_name_or_route():
    with pytest.raises(ModelOff):
        chosen(alias="off")
    with pytest.raises(ModelOff):
        chosen("broken")


def test_an_unknown_alias_is_not_found():
    with pytest.raises(ModelNotFound):
        chosen(alias="gpt-9")


def test_cost_counts_each_kind_of_token_at_its_price():
    tokens = TokenCount(input=1_000_000, output=100_000, cache_read=10_000_000, cache_write=200_000)
    assert cost_usd_micros(tokens, PRICE) == 3_000_000 + 1_500_000 + 3_000_000 + 750_000


def test_cost_is_rounded_up_and_never_for_nothing():
    assert cost_usd_micros(TokenCount(cache_read=1), PRICE) == 1
    assert cost_usd_micros(TokenCount(), PRICE) == 0
