"""The models on offer: what the file says, as far as this installation can serve it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.common.billing import UNBILLED
from services.models import bedrock_model_id
from services.models.catalogue_file import DEFAULT_ROUTE, CatalogueError, CatalogueFile, ModelTable
from services.models.domain import CallLimits, ModelEntry, Price, Timeouts
from services.models.errors import ModelNotFound, ModelOff


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models ordered by alias, and for each operation the models that answer it, the first one first."""

    entries: tuple[ModelEntry, ...]
    routes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    def entry(self, alias: str) -> ModelEntry:
        """The model of this alias, whether it is on or off. Raises ModelNotFound."""
        if entry := self.found(alias):
            return entry
        message = "No model has this alias. `ModelService.ListModels` shows the catalogue."
        raise ModelNotFound(message, metadata=UNBILLED)

    def found(self, alias: str) -> ModelEntry | None:
        """The model of this alias, whether it is on or off; None if there is none."""
        return next((entry for entry in self.entries if entry.alias == alias), None)

    def callable_entry(self, alias: str) -> ModelEntry:
        """The model of this alias, ready to be called. Raises ModelNotFound, ModelOff."""
        entry = self.entry(alias)
        if entry.off_reason:
            raise ModelOff(f"The model {entry.alias} is off: {entry.off_reason}.", metadata=UNBILLED)
        return entry

    def tagged(self, tag: str) -> ModelEntry | None:
        """The model a tag chooses, upper and lower case alike; None if it is no model's tag."""
        return next((entry for entry in self.entries if tag.strip().lower() in entry.tags), None)

    def chain(self, entry: ModelEntry) -> list[ModelEntry]:
        """The model and those that stand in for it, in order, without those that are off."""
        models = [entry, *(self.entry(alias) for alias in entry.fallbacks)]
        return [model for model in models if not model.off_reason]

    def routed(self, operation: str) -> ModelEntry | None:
        """The first model of an operation's route that is on; None: it has no route, or all are off."""
        models = (self.entry(alias) for alias in self.routes.get(operation, ()))
        return next((model for model in models if not model.off_reason), None)

    def default_alias(self, wish: str) -> str:
        """The model that answers when nothing is said: the wish, or the default route's first that is on.

        Raises ModelNotFound and ModelOff for a wish that cannot be met, or a default route that is all off.
        """
        if wish:
            return self.callable_entry(wish).alias
        routed = self.routed(DEFAULT_ROUTE)
        if routed is None:
            raise ModelOff("No model of the default route is on. Set DEFAULT_MODEL, or configure a provider.")
        return routed.alias


def build(
    file: CatalogueFile,
    *,
    off_reasons: Mapping[str, str],
    variables: Mapping[str, str],
    extra: Sequence[ModelEntry] = (),
) -> Catalogue:
    """Make the catalogue of a file. Raises CatalogueError naming the first thing that is wrong.

    `off_reasons` holds every known provider and why it is off, empty if it is on; `variables` the values
    a `$NAME` may stand for; `extra` models that no file describes.
    """
    described = [_entry(table, file.labels, off_reasons, variables) for table in file.models]
    entries = tuple(sorted([*described, *extra], key=lambda entry: entry.alias))
    _refuse_repetition("alias", [entry.alias for entry in entries])
    _refuse_repetition("tag", [tag for entry in entries for tag in entry.tags])
    by_alias = {entry.alias: entry for entry in entries}
    for operation, aliases in file.routes.items():
        for alias in aliases:
            if alias not in by_alias:
                raise CatalogueError(f"the route of {operation} names {alias}, which is no model")
    for entry in entries:
        for alias in entry.fallbacks:
            if problem := _problem_of_fallback(entry, by_alias.get(alias)):
                raise CatalogueError(f"model {entry.alias}: its fallback {alias} {problem}")
    return Catalogue(entries, {name: tuple(aliases) for name, aliases in file.routes.items()})


def _entry(
    table: ModelTable,
    labels: Mapping[str, str],
    off_reasons: Mapping[str, str],
    variables: Mapping[str, str],
) -> ModelEntry:
    where = f"model {table.alias}"
    if table.provider not in off_reasons:
        known = ", ".join(sorted(off_reasons))
        raise CatalogueError(f"{where}: no provider {table.provider}; there are {known}")
    if table.label not in labels:
        raise CatalogueError(
            f"{where}: unknown label {table.label}; say in [labels] which model it stands for"
        )
    model_id = resolved(table.provider_model_id, variables, where)
    if table.provider == "bedrock" and (
        problem := bedrock_model_id.problem_with(model_id, on_demand=table.on_demand)
    ):
        raise CatalogueError(f"{where}: {problem}")
    price, patience, limits = table.price_usd_micros, table.timeouts, table.limits
    return ModelEntry(
        alias=table.alias,
        label=table.label,
        provider=table.provider,
        provider_model_id=model_id,
        context_tokens_max=table.context_tokens_max,
        output_tokens_max=table.output_tokens_max,
        price=Price(price.input, price.output, price.cache_read, price.cache_write),
        tags=tuple(table.tags),
        off_reason=off_reasons[table.provider],
        capabilities=frozenset(table.capabilities),
        timeouts=Timeouts(
            patience.first_token_seconds, patience.between_tokens_seconds, patience.call_seconds
        ),
        fallbacks=tuple(table.fallbacks),
        limits=CallLimits(limits.requests_per_minute, limits.tokens_per_minute, limits.calls_at_once),
    )


def resolved(value: str, variables: Mapping[str, str], where: str) -> str:
    """What a value of the file stands for: itself, or the variable it names. Raises CatalogueError."""
    if not value.startswith("$"):
        return value
    variable = value.removeprefix("$")
    if variable not in variables:
        raise CatalogueError(f"{where}: nothing is known of ${variable}")
    return variables[variable]


def _problem_of_fallback(entry: ModelEntry, fallback: ModelEntry | None) -> str:
    if fallback is None:
        return "is no model"
    if fallback.alias == entry.alias:
        return "is the model itself"
    # A caller reserves the worst case of the model it asked for, so nothing dearer may take its place.
    if _dearest_input(fallback) > _dearest_input(entry) or _dearest_output(fallback) > _dearest_output(entry):
        return "can cost more than the model it stands in for"
    return ""


def _dearest_input(entry: ModelEntry) -> int:
    return max(entry.price.input_usd_micros, entry.price.cache_write_usd_micros)


def _dearest_output(entry: ModelEntry) -> int:
    return entry.price.output_usd_micros * entry.output_tokens_max


def _refuse_repetition(what: str, values: Sequence[str]) -> None:
    seen: set[str] = set()
    for value in values:
        if value in seen:
            raise CatalogueError(f"two models have the {what} {value}")
        seen.add(value)
