"""What a catalogue's embedding models must say."""

from __future__ import annotations

import pytest

from services.models import catalogue_file
from services.models.catalogue_file import CatalogueError
from services.models.errors import ModelNotFound, ModelOff
from services.models.installation import build_embedding_catalogue
from services.models.settings import ModelsSettings

ENTRY = {
    "alias": '"mine"',
    "provider": '"openai"',
    "provider_model_id": '"m"',
    "form": '"openai"',
    "dimensions": "768",
    "texts_a_call": "8",
    "text_chars_max": "100",
    "price_usd_micros": "0",
}


def built(own: str = "", **settings: str):
    """The catalogue with an own file beside the shipped one."""
    found = ModelsSettings(_env_file=None, ASTRA_TOKEN="x", **settings)
    return build_embedding_catalogue(found, catalogue_file.read(catalogue_file.shipped(), own))


def entry(**changes: str) -> str:
    lines = (f"{name} = {value}\n" for name, value in (ENTRY | changes).items() if value)
    return f"[[embedding_models]]\n{''.join(lines)}"


def test_the_embedded_model_is_used_when_nothing_is_said():
    assert ("minilm", 384, "") == (
        built().callable_entry("").alias,
        built().callable_entry("").dimensions,
        built().callable_entry("minilm").off_reason,
    )


def test_an_own_entry_takes_the_place_of_the_shipped_one():
    url = "http://127.0.0.1:1/v1"
    found = built(entry(alias='"openai"'), OPENAI_BASE_URL=url, EMBEDDING_MODEL="openai")
    assert ("m", 768) == (found.callable_entry("").provider_model_id, found.callable_entry("").dimensions)


@pytest.mark.parametrize(
    ("own", "told"),
    [
        (entry(provider='"nobody"'), "no provider nobody"),
        (entry(provider='"anthropic"'), "no provider anthropic makes embeddings"),
        (entry(form='"titan"'), "the provider openai has the form openai"),
        (entry(provider='"embedded"'), "the provider embedded has the form minilm"),
        (entry(price_usd_micros=""), "price_usd_micros"),
        (entry(dimensions="4096"), "dimensions"),
        (entry() + entry(), "two embedding models have the alias mine"),
    ],
)
def test_an_entry_that_is_wrong_is_refused_with_the_reason(own: str, told: str):
    with pytest.raises(CatalogueError, match=told):
        built(own)


@pytest.mark.parametrize(("alias", "error"), [("titan", ModelOff), ("word2vec", ModelNotFound)])
def test_a_default_that_cannot_be_used_stops_the_start(alias: str, error: type[Exception]):
    with pytest.raises(error, match=alias if error is ModelOff else "minilm"):
        built(EMBEDDING_MODEL=alias)
