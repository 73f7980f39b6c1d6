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
    than the default. Words in brackets that choose no model which is on are ordinary words, so a person
    who tags a model nobody configured is still answered, by the default and with its label.
    Raises ModelNotFound and ModelOff for an alias, and for a route or default that is off.
    """
    if alias:
        return [catalogue.callable_entry(alias)]
    chosen: dict[str, ModelEntry] = {}
    for tag in tags:
        entry = catalogue.tagged(tag)
        if entry is not None and not entry.off_reason:
            chosen.setdefault(entry.alias, entry)
    return list(chosen.values()) or [catalogue.callable_entry(catalogue.routes.get(operation, default_alias))]
