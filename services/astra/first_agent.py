"""What atlas begins with, and where another agent says nothing else: handles, ceilings, framing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ATLAS_HANDLES = {
    "github": ["atlas", "astra-atlas"],
    "slack": ["atlas"],
    "google-drive": ["atlas"],
    "plane": ["atlas"],
}
TURNS_MAX = 40
TOKENS_MAX = 400_000
RUN_TIMEOUT_SECONDS = 30 * 60
MISTAKES_MAX = 3
FRAGMENTS: Mapping[str, Sequence[str]] = {
    "who-atlas-is": (),
    "works-with-evidence": (),
    "generates-specs": ("spec_generate",),
    "finalizes-specs": ("spec_finalize",),
    "synthesizes-specs": ("spec_synthesize",),
    "closes-threads": ("resolve_comment",),
    "reports-status": ("status",),
    "answers-in-threads": (),
    "reads-data-as-data": (),
}
"""The fragments of atlas' framing, in order: files in `personalities/`, and the operations each is for (none:
all of them)."""
