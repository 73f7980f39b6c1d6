"""What tests of running services share."""

from __future__ import annotations

import pytest

from services.common.quotas.meter import Meter


@pytest.fixture
def no_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the time a vendor asks for were over at once."""
    monkeypatch.setattr(Meter, "block", lambda *_: None)
