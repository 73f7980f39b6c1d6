"""Which runs a list shows: read from the address of the page, written back into it, asked of Astra."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from urllib.parse import urlencode

from aucert.astra.v1.task_run_pb2 import TaskRunOutcome, TaskRunStatus
from aucert.astra.v1.task_run_service_pb2 import ListTaskRunsRequest
from aucert.common.v1.thread_pb2 import Source
from gateway.console.words import OUTCOMES, SOURCES, STATUSES
from services.common.errors import FieldInvalid

RUNS_A_PAGE = 50
_CHOICES = {"status": STATUSES, "outcome": OUTCOMES, "source": SOURCES}


@dataclass(frozen=True, slots=True)
class Filters:
    """Words of the record; an empty one leaves its side open. `page`: Astra's token; empty: the newest."""

    status: str = ""
    outcome: str = ""
    source: str = ""
    model: str = ""
    thread: str = ""
    page: str = ""

    @property
    def query(self) -> str:
        """The filters as the query of an address, without those left open."""
        return urlencode({name: value for name, value in asdict(self).items() if value})

    def at(self, page: str) -> Filters:
        """The same filters on another page."""
        return replace(self, page=page)

    def request(self) -> ListTaskRunsRequest:
        """What to ask Astra for."""
        return ListTaskRunsRequest(
            page_size=RUNS_A_PAGE,
            page_token=self.page,
            status=TaskRunStatus.ValueType(STATUSES.get(self.status, 0)),
            outcome=TaskRunOutcome.ValueType(OUTCOMES.get(self.outcome, 0)),
            source=Source.ValueType(SOURCES.get(self.source, 0)),
            model_alias=self.model,
            thread_id=self.thread,
        )


def filters_of(query: Mapping[str, str]) -> Filters:
    """The filters in an address, whatever it holds besides. Raises FieldInvalid for an unknown word."""
    filters = Filters(**{name: query.get(name, "").strip() for name in asdict(Filters())})
    wrong = [
        (name, f"has no value like this; choose one of {', '.join(words)}")
        for name, words in _CHOICES.items()
        if (value := getattr(filters, name)) and value not in words
    ]
    if wrong:
        raise FieldInvalid(wrong)
    return filters
