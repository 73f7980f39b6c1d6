"""The money of one attempt's model calls: set aside before each call, freed where no provider took it.

A call that is recorded settles its own reservation. One that is cut without anybody knowing what became of it
stays open; the next attempt puts it down as abandoned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from aucert.astra.v1.budget_service_pb2 import ReleaseSpendRequest, ReserveSpendRequest
from aucert.astra.v1.task_run_pb2 import TaskRun
from aucert.astra.v1.transcript_pb2 import SpendReservation
from aucert.models.v1.model_service_pb2 import GenerationFinished
from services.common.errors import from_rpc
from services.worker.failures import MENDED_BY_A_NEW_ATTEMPT
from services.worker.pacing import paced

if TYPE_CHECKING:
    from aucert.astra.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub


class Spending:
    """The reservation of the next call, if there is one already."""

    def __init__(self, budgets: BudgetServiceAsyncStub, run: TaskRun, fence: int) -> None:
        self._budgets = budgets
        self._run = run
        self._fence = fence
        self.reservation: SpendReservation | None = None

    async def reserved(self, usd_micros: int) -> SpendReservation:
        """The reservation of the next call, made now unless it came with tool results.

        Raises ServiceError, among them BUDGET_EXHAUSTED, and RateLimited.
        """
        if self.reservation is None:
            request = ReserveSpendRequest(
                task_run_id=self._run.task_run_id,
                fence=self._fence,
                model_alias=self._run.model_alias,
                reserved_usd_micros=usd_micros,
            )
            self.reservation = (await paced(lambda: self._budgets.ReserveSpend(request))).reservation
        return self.reservation

    async def release(self) -> None:
        """Free what is set aside, if anything is. Raises AioRpcError."""
        if self.reservation is None:
            return
        request = ReleaseSpendRequest(
            task_run_id=self._run.task_run_id,
            fence=self._fence,
            spend_reservation_id=self.reservation.spend_reservation_id,
        )
        self.reservation = None
        try:
            await self._budgets.ReleaseSpend(request)
        except grpc.aio.AioRpcError as error:
            # Another attempt has put it down already: what is to be told is why this one ended.
            if from_rpc(error).reason not in MENDED_BY_A_NEW_ATTEMPT:
                raise


def charged_usd_micros(finished: GenerationFinished, reservation: SpendReservation) -> int:
    """What a call costs: its own price, and of what models passed over may bill as much as was set aside.

    So an estimate of ours never carries a run past its caps.
    """
    own = finished.cost_usd_micros
    others = sum(each.cost_usd_micros for each in finished.passed_over)
    return max(own, min(own + others, reservation.reserved_usd_micros))
