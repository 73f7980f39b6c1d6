"""Which models a comment asks for: by name, by tags, or by what is to be done, for whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.models.catalogue import Catalogue
from services.models.domain import ModelEntry


@dataclass(frozen=True, slots=True)
class Asked:
    """What is known of a comment. `defaults`: alias by agent and operation, as the tenant set them; an empty
    word stands for every agent, or every operation."""

    operation: str
    tags: Sequence[str] = ()
    alias: str = ""
    agent_slug: str = ""
    defaults: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])


def resolve(catalogue: Catalogue, asked: Asked, *, default_alias: str) -> list[ModelEntry]:
    """Choose at least one model, in the order asked for and without repetition.

    An alias is stronger than tags, tags are stronger than what is set for the agent, that than what is set
    for the tenant, that than the operation's route, and that than the default. Each may be off: then the
    first of its fallbacks that is on answers, else the next of these. Words in brackets that choose no model
    are ordinary words, so a person who tags a model nobody configured is still answered, and sees by the
    label by whom. Raises ModelNotFound and ModelOff for an alias, and for a default that is off.
    """
    if asked.alias:
        return [catalogue.callable_entry(asked.alias)]
    tagged = (catalogue.tagged(tag) for tag in asked.tags)
    on = (catalogue.chain(entry)[:1] for entry in tagged if entry)
    chosen = {entry.alias: entry for entries in on for entry in entries}
    return list(chosen.values()) or [
        _set_for(catalogue, asked)
        or catalogue.routed(asked.operation)
        or catalogue.callable_entry(default_alias)
    ]


def _set_for(catalogue: Catalogue, asked: Asked) -> ModelEntry | None:
    """The model that is set for the agent, else for the tenant; for the operation before that for all."""
    agents = [asked.agent_slug, ""] if asked.agent_slug else [""]
    for agent in agents:
        for operation in (asked.operation, ""):
            entry = catalogue.found(asked.defaults.get((agent, operation), ""))
            if entry and (chain := catalogue.chain(entry)):
                return chain[0]
    return None
