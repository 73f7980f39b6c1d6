"""What is counted here."""

from __future__ import annotations

from prometheus_client import Counter

REFUSED = Counter("astra_deliveries_refused_total", "Deliveries that were not kept.", ["source", "reason"])
FINISHED = Counter("astra_deliveries_finished_total", "Deliveries put away.", ["source", "status", "reason"])
RETRIED = Counter("astra_deliveries_retried_total", "Deliveries to be tried again.", ["source", "reason"])
CAUGHT_UP = Counter("astra_deliveries_caught_up_total", "Deliveries that catch-up brought first.", ["source"])
NOT_CAUGHT_UP = Counter("astra_catch_up_failures_total", "Readings that failed.", ["source", "reason"])
SENT_AGAIN = Counter(
    "astra_deliveries_sent_again_total", "Deliveries a vendor was asked to repeat.", ["source"]
)
PURGED = Counter("astra_deliveries_purged_total", "Deliveries forgotten after their time.", ["status"])
SWEPT = Counter("astra_threads_swept_total", "Threads rung because an event of theirs was left over.")
