"""The embedding models on offer: what the catalogue's file says, as far as this installation serves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.models.catalogue import resolved
from services.models.catalogue_file import CatalogueError, CatalogueFile, EmbeddingTable
from services.models.domain import EmbeddingEntry
from services.models.errors import ModelNotFound, ModelOff

EMBEDDED = "embedded"
"""The provider that is this process, always on."""
_FORMS = {EMBEDDED: {"minilm"}, "bedrock": {"titan", "cohere"}}
_NO_EMBEDDINGS = frozenset({"anthropic", "rehearsal"})


@dataclass(frozen=True, slots=True)
class EmbeddingCatalogue:
    """Embedding models by alias, and the one that is used when a call names none."""

    entries: Mapping[str, EmbeddingEntry]
    default_alias: str

    def callable_entry(self, alias: str) -> EmbeddingEntry:
        """The model of this alias, the default one's for an empty alias. Raises ModelNotFound, ModelOff."""
        entry = self.entries.get(alias or self.default_alias)
        if entry is None:
            raise ModelNotFound(
                f"No embedding model has this alias. There are {', '.join(sorted(self.entries))}."
            )
        if entry.off_reason:
            raise ModelOff(f"The embedding model {entry.alias} is off: {entry.off_reason}.")
        return entry


def build_embeddings(
    file: CatalogueFile,
    *,
    off_reasons: Mapping[str, str],
    variables: Mapping[str, str],
    default_alias: str,
) -> EmbeddingCatalogue:
    """Make the catalogue of a file; `off_reasons` and `variables` as `catalogue.build` takes them.

    Raises CatalogueError naming the first thing that is wrong, ModelNotFound and ModelOff for a default model
    that cannot be used.
    """
    entries: dict[str, EmbeddingEntry] = {}
    for table in file.embedding_models:
        if table.alias in entries:
            raise CatalogueError(f"two embedding models have the alias {table.alias}")
        entries[table.alias] = _entry(table, {**off_reasons, EMBEDDED: ""}, variables)
    catalogue = EmbeddingCatalogue(entries, default_alias)
    catalogue.callable_entry("")
    return catalogue


def _entry(
    table: EmbeddingTable, off_reasons: Mapping[str, str], variables: Mapping[str, str]
) -> EmbeddingEntry:
    where = f"embedding model {table.alias}"
    if table.provider not in off_reasons or table.provider in _NO_EMBEDDINGS:
        raise CatalogueError(f"{where}: no provider {table.provider} makes embeddings")
    forms = _FORMS.get(table.provider, {"openai"})
    if table.form not in forms:
        raise CatalogueError(
            f"{where}: the provider {table.provider} has the form {' or '.join(sorted(forms))}"
        )
    return EmbeddingEntry(
        alias=table.alias,
        provider=table.provider,
        provider_model_id=resolved(table.provider_model_id, variables, where),
        form=table.form,
        dimensions=table.dimensions,
        asks_dimensions=table.asks_dimensions,
        texts_a_call=table.texts_a_call,
        text_chars_max=table.text_chars_max,
        usd_micros=table.price_usd_micros,
        off_reason=off_reasons[table.provider],
    )
