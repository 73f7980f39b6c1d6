"""What a model is told of a search, whatever the web holds."""

from __future__ import annotations

from typing import Any, cast

from aucert.tools.v1.web_service_pb2 import SearchWebRequest
from services.tools.web_servicer import search_web


class Brave:
    """Answers every search with one result."""

    def __init__(self, **result: str) -> None:
        self.result = result

    async def search(self, _query: str, **_params: Any) -> Any:
        return {"web": {"results": [self.result]}}


async def test_half_a_character_of_a_cut_text_is_shown_as_a_question_mark() -> None:
    brave = Brave(url="https://one.example/\ud83d", title="Cut \ud83d", description="here \ude00")
    told = await search_web(cast("Any", brave), SearchWebRequest(query="refunds"))
    (found,) = told.results
    assert ("https://one.example/?", "Cut ?", "here ?") == (found.url, found.title, found.snippet)
