"""Which models a comment asks for: by name, by tags, or by what is to be done."""

from __future__ import annotations

from collections.abc import Sequence

from services.models.catalogue import Catalogue
from services.models.domain import ModelEntry


def resolve(
    catalogue: Catalogue, *, operation: str, tags: Sequence[str], alias: str, default_alias: str
) -> list[ModelEntry]:
    """Choose at least one model, in the order asked for and without repetition.

    An alias is stronger than tags, tags are stronger than the operation's route, and that is stronger
    than the default. A tag of a model that is off chooses the first of its fallbacks that is on. Words in
    brackets that choose none are ordinary words, so a person who tags a model nobody configured is still
    answered, by the default and with its label. Raises ModelNotFound and ModelOff for an alias, and for a
    default that is off.
    """
    if alias:
        return [catalogue.callable_entry(alias)]
    chosen: dict[str, ModelEntry] = {}
    for tag in tags:
        entry = catalogue.tagged(tag)
        chain = catalogue.chain(entry) if entry else []
        if chain:
            chosen.setdefault(chain[0].alias, chain[0])
    return list(chosen.values()) or [
        catalogue.routed(operation) or catalogue.callable_entry(default_alias),
    ]
