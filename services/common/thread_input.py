"""What starts a thread's workflow: ids only, for Temporal keeps its history."""

from __future__ import annotations

from dataclasses import dataclass

WORKFLOW_TYPE = "SpecAgentWorkflow"
TASK_QUEUE = "spec-agent-queue"
RING_SIGNAL = "ring"


@dataclass(frozen=True)
class ThreadInput:
    """The thread a workflow works through; `finished_event_id` is carried over a continue-as-new."""

    tenant_id: str
    thread_id: str
    finished_event_id: str = ""
