"""The form of a catalogue file, and the rules it must keep by itself.

What depends on this installation, such as which providers are on, is `catalogue.py`'s.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from services.common.told import ToldToPeople
from services.models.domain import Capability

DEFAULT_ROUTE = "default"
_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"
_LABEL = r"^[A-Z]{1,4}[0-9]{1,3}$"  # what the worker recognises when a model writes a label itself
Name = Annotated[str, Field(pattern=_NAME)]
Seconds = Annotated[float, Field(gt=0, le=3_600)]


class CatalogueError(ToldToPeople, ValueError):
    """The catalogue cannot be used; the text says which entry and why."""


class _Table(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


class PriceTable(_Table):
    """Millionths of a US dollar per million tokens; all four are needed."""

    input: int = Field(ge=0)
    output: int = Field(ge=0)
    cache_read: int = Field(ge=0)
    cache_write: int = Field(ge=0)


class TimeoutTable(_Table):
    """Patience, in seconds; what is left out has the default of `Timeouts`."""

    first_token_seconds: Seconds = 120.0
    between_tokens_seconds: Seconds = 60.0
    call_seconds: Seconds = 900.0


class LimitTable(_Table):
    """Most of a model's use by the whole installation; what is left out has no limit."""

    requests_per_minute: int = Field(default=0, ge=0, le=1_000_000)
    tokens_per_minute: int = Field(default=0, ge=0, le=1_000_000_000)
    calls_at_once: int = Field(default=0, ge=0, le=1_000)


class ServerTable(_Table):
    """A server that speaks chat completions. `$NAME` stands for an environment variable.

    Its provider is on when its address is known, and its key too where `key_needed`.
    """

    base_url: str = Field(min_length=1)
    api_key: str = ""
    key_needed: bool = True
    output_limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    usage_in_stream: bool = True
    reasoning_sent_back: bool = True

    @field_validator("api_key")
    @classmethod
    def _names_a_variable(cls, value: str) -> str:
        if value and not value.startswith("$"):
            raise ValueError("a key is never written here; name the variable that holds it, as in $VLLM_KEY")
        return value


class ModelTable(_Table):
    """A model. `on_demand`: Bedrock serves it by its bare id."""

    alias: Name
    label: str = Field(pattern=_LABEL)
    provider: str
    provider_model_id: str = Field(min_length=1)
    on_demand: bool = False
    context_tokens_max: int = Field(gt=0)
    output_tokens_max: int = Field(gt=0)
    capabilities: list[Annotated[Capability, Field(strict=False)]]
    tags: list[Name] = []
    fallbacks: list[Name] = []
    timeouts: TimeoutTable = TimeoutTable()
    limits: LimitTable = LimitTable()
    price_usd_micros: PriceTable


class EmbeddingTable(_Table):
    """An embedding model. `form`: how it is spoken to, which goes with its provider.

    `asks_dimensions`: the request names them, where the model can make several. A text longer than
    `text_chars_max` is cut before it is sent.
    """

    alias: Name
    provider: str
    provider_model_id: str = Field(min_length=1)
    form: Literal["minilm", "titan", "cohere", "openai"]
    dimensions: int = Field(gt=0, le=3_072)
    asks_dimensions: bool = False
    texts_a_call: int = Field(gt=0, le=128)
    text_chars_max: int = Field(gt=0)
    price_usd_micros: int = Field(ge=0)


class CatalogueFile(_Table):
    """A whole catalogue. Labels map to the model's name; an operation's route lists aliases in order."""

    labels: dict[Annotated[str, Field(pattern=_LABEL)], str] = {}
    routes: dict[str, list[Name]] = {}
    servers: dict[Name, ServerTable] = {}
    models: list[ModelTable] = Field(min_length=1)
    embedding_models: list[EmbeddingTable] = []


def shipped() -> str:
    """The text of the catalogue that comes with this package."""
    return (resources.files("services.models") / "catalogue.toml").read_text()


def read(text: str, own: str = "") -> CatalogueFile:
    """Read a catalogue; what `own` says of a model, label, route or server goes before `text`.

    Raises CatalogueError naming the first thing that is wrong.
    """
    try:
        tables, overlay = tomllib.loads(text), tomllib.loads(own)
        return CatalogueFile.model_validate(_merged(tables, overlay))
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"the catalogue is no TOML: {error}") from None
    except ValidationError as error:
        raise CatalogueError(f"the catalogue is wrong: {_told(error)}") from None


def _merged(tables: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    merged = {**tables, **overlay}
    for name in ("models", "embedding_models"):
        own_models = overlay.get(name, [])
        replaced = {model.get("alias") for model in own_models}
        kept = [model for model in tables.get(name, []) if model.get("alias") not in replaced]
        merged[name] = [*kept, *own_models]
    for name in ("labels", "routes", "servers"):
        merged[name] = {**tables.get(name, {}), **overlay.get(name, {})}
    return merged


def _told(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(each) for each in first["loc"])
    return f"{place}: {first['msg']}"
