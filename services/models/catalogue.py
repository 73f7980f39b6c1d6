"""The models on offer, read from `catalogue.toml` and checked whole before anything is served."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.models.domain import ModelEntry, Price
from services.models.errors import ModelNotFound, ModelOff


class CatalogueError(ValueError):
    """The catalogue cannot be used; the text says which entry and why."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models ordered by alias, and the operations routed to one of them."""

    entries: tuple[ModelEntry, ...]
    routes: Mapping[str, str] = field(default_factory=dict[str, str])

    def entry(self, alias: str) -> ModelEntry:
        """The model of this alias, whether it is on or off. Raises ModelNotFound."""
        for entry in self.entries:
            if entry.alias == alias:
                return entry
        raise ModelNotFound("No model has this alias. `ModelService.ListModels` shows the catalogue.")

    def callable_entry(self, alias: str) -> ModelEntry:
        """The model of this alias, ready to be called. Raises ModelNotFound, ModelOff."""
        entry = self.entry(alias)
        if entry.off_reason:
            raise ModelOff(f"The model {entry.alias} is off: {entry.off_reason}.")
        return entry

    def tagged(self, tag: str) -> ModelEntry | None:
        """The model a tag chooses, upper and lower case alike; None if it is no model's tag."""
        return next((entry for entry in self.entries if tag.strip().lower() in entry.tags), None)


def shipped() -> str:
    """The text of the catalogue that comes with this package."""
    return (resources.files("services.models") / "catalogue.toml").read_text()


def load(
    text: str,
    *,
    off_reasons: Mapping[str, str],
    variables: Mapping[str, str],
    extra: Sequence[ModelEntry] = (),
) -> Catalogue:
    """Read a catalogue. Raises CatalogueError naming the first thing that is wrong.

    `off_reasons` holds every known provider and why it is off, empty if it is on; `variables` the values
    a `$NAME` may stand for; `extra` models that no file describes.
    """
    try:
        file = _File.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise CatalogueError(f"catalogue.toml: {error}") from None
    described = [_entry(table, off_reasons, variables) for table in file.models]
    entries = tuple(sorted([*described, *extra], key=lambda entry: entry.alias))
    _refuse_repetition("alias", [entry.alias for entry in entries])
    _refuse_repetition("label", [entry.label for entry in entries])
    _refuse_repetition("tag", [tag for entry in entries for tag in entry.tags])
    for operation, alias in file.routes.items():
        if all(entry.alias != alias for entry in entries):
            raise CatalogueError(f"catalogue.toml: the route of {operation} names {alias}, which is no model")
    return Catalogue(entries, file.routes)


class _Table(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)


class _PriceTable(_Table):
    input: int = Field(ge=0)
    output: int = Field(ge=0)
    cache_read: int = Field(ge=0)
    cache_write: int = Field(ge=0)


class _ModelTable(_Table):
    alias: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    label: str = Field(pattern=r"^[A-Z][A-Z0-9]{0,7}$")
    provider: str
    provider_model_id: str = Field(min_length=1)
    context_tokens_max: int = Field(gt=0)
    output_tokens_max: int = Field(gt=0)
    tags: list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]] = []
    price_usd_micros: _PriceTable


class _File(_Table):
    models: list[_ModelTable] = Field(min_length=1)
    routes: dict[str, str] = {}


def _entry(table: _ModelTable, off_reasons: Mapping[str, str], variables: Mapping[str, str]) -> ModelEntry:
    if table.provider not in off_reasons:
        known = ", ".join(sorted(off_reasons))
        raise CatalogueError(f"model {table.alias}: no provider {table.provider}; there are {known}")
    price = table.price_usd_micros
    entry = ModelEntry(
        alias=table.alias,
        label=table.label,
        provider=table.provider,
        provider_model_id=table.provider_model_id,
        context_tokens_max=table.context_tokens_max,
        output_tokens_max=table.output_tokens_max,
        price=Price(price.input, price.output, price.cache_read, price.cache_write),
        tags=tuple(table.tags),
        off_reason=off_reasons[table.provider],
    )
    variable = entry.provider_model_id.removeprefix("$")
    if variable == entry.provider_model_id:
        return entry
    if variable not in variables:
        raise CatalogueError(f"model {entry.alias}: nothing is known of ${variable}")
    return replace(entry, provider_model_id=variables[variable])


def _refuse_repetition(what: str, values: Sequence[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise CatalogueError(f"catalogue.toml: two models have the {what} {value}")
        seen.add(value)
