"""What Astra refuses, and why."""

from __future__ import annotations

from datetime import timedelta

from services.common.errors import Exhausted, Exists, Invalid, NotFound, Refused, Unauthenticated

HELD_RETRY_AFTER = timedelta(seconds=2)
"""About as long as a short model call takes to free what it does not use."""


class TokenInvalid(Unauthenticated):
    """Nobody has this token."""

    reason = "TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("Nobody has this token. `astra up` writes the current ones to .astra/stack.json.")


class TenantNotFound(NotFound):
    """No tenant has this slug or id."""

    reason = "TENANT_NOT_FOUND"

    def __init__(self, key: str) -> None:
        super().__init__("No tenant has this slug or id.", metadata={"tenant": key})


class PageTokenInvalid(Invalid):
    """A page token that was not made for this list."""

    reason = "PAGE_TOKEN_INVALID"

    def __init__(self) -> None:
        super().__init__("This page token does not belong to this list. Start again without one.")


class TaskRunNotFound(NotFound):
    """No run has this id in the caller's tenant."""

    reason = "TASK_RUN_NOT_FOUND"

    def __init__(self, task_run_id: str) -> None:
        super().__init__("No task run of this tenant has this id.", metadata={"task_run_id": task_run_id})


class TaskRunTaken(Exists):
    """A run of the same id or event is on record as something else."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, task_run_id: str) -> None:
        super().__init__(
            "Another run is on record under this id, or for this event and model.",
            metadata={"task_run_id": task_run_id},
        )


class TaskRunCompleted(Refused):
    """The run is over; nothing more can be written to it."""

    reason = "TASK_RUN_COMPLETED"

    def __init__(self, task_run_id: str, outcome: str) -> None:
        super().__init__(
            f"The run is over with outcome {outcome}. Stop working on it.",
            metadata={"task_run_id": task_run_id, "outcome": outcome},
        )


class TransitionImpossible(Refused):
    """The move is not in the life of a run."""

    reason = "TRANSITION_IMPOSSIBLE"

    def __init__(self, task_run_id: str, now: str, to: str) -> None:
        super().__init__(
            f"A run cannot go from {now} to {to}.",
            metadata={"task_run_id": task_run_id, "from": now, "to": to},
        )


class AnswerBegun(Refused):
    """The run's answer may be in the thread already: a notice that there is none would contradict it."""

    reason = TransitionImpossible.reason

    def __init__(self, task_run_id: str) -> None:
        super().__init__(
            "The answer of this run is already on its way into the thread. Finish it.",
            metadata={"task_run_id": task_run_id},
        )


class FenceStale(Refused):
    """A newer attempt holds the run."""

    reason = "FENCE_STALE"

    def __init__(self, task_run_id: str) -> None:
        super().__init__("A newer attempt works on this run. Stop.", metadata={"task_run_id": task_run_id})


class ReservationNotOpen(Refused):
    """The reservation is not this run's, or was settled or abandoned."""

    reason = "RESERVATION_NOT_OPEN"

    def __init__(self, reservation_id: str) -> None:
        super().__init__(
            "This reservation is not open. Begin a new attempt.",
            metadata={"spend_reservation_id": reservation_id},
        )


class BudgetExhausted(Refused):
    """A cap leaves too little for the call. Amounts in millionths of a US dollar."""

    reason = "BUDGET_EXHAUSTED"

    def __init__(self, cap: str, *, limit: int, spent: int, reserved: int, needed: int) -> None:
        super().__init__(
            f"The cap {cap} leaves too little for this call. An operator can raise it: `astra budget set`.",
            metadata=_amounts(cap, limit=limit, spent=spent, reserved=reserved, needed=needed),
        )


class BudgetHeld(Exhausted):
    """What a cap leaves is set aside for calls under way, most of which will not use all of it."""

    reason = "BUDGET_HELD"

    def __init__(self, cap: str, *, limit: int, spent: int, reserved: int, needed: int) -> None:
        super().__init__(
            f"What the cap {cap} leaves is set aside for calls under way. Ask again when they are done.",
            metadata=_amounts(cap, limit=limit, spent=spent, reserved=reserved, needed=needed),
            retry_after=HELD_RETRY_AFTER,
        )


def _amounts(cap: str, **usd_micros: int) -> dict[str, str]:
    return {"cap": cap} | {f"{name}_usd_micros": str(value) for name, value in usd_micros.items()}


class ResultsMismatch(Refused):
    """The results are not those of the calls that are open."""

    reason = "RESULTS_MISMATCH"

    def __init__(self, task_run_id: str) -> None:
        super().__init__(
            "Results must answer each open call of the last turn once. Begin a new attempt to see them.",
            metadata={"task_run_id": task_run_id},
        )


class AgentNotFound(NotFound):
    """No agent of the tenant has this slug."""

    reason = "AGENT_NOT_FOUND"

    def __init__(self, slug: str) -> None:
        super().__init__("No agent of this tenant has this name.", metadata={"agent_slug": slug})


class ToolCallNotOpen(Refused):
    """The call is not on record, is another tool's, or has its result already."""

    reason = "TOOL_CALL_NOT_OPEN"

    def __init__(self, task_run_id: str, call_id: str) -> None:
        super().__init__(
            "The record has no open call of this id and tool, so nothing may be changed for it.",
            metadata={"task_run_id": task_run_id, "call_id": call_id},
        )


class EffectTaken(Exists):
    """The call or request has an effect on record that is to be something else."""

    reason = "REQUEST_ID_REUSED"

    def __init__(self, effect_id: str) -> None:
        super().__init__(
            "This request id was used for another change. Use a new one.", metadata={"effect_id": effect_id}
        )


class EffectNotFound(NotFound):
    """No effect of the tenant has this id."""

    reason = "EFFECT_NOT_FOUND"

    def __init__(self, effect_id: str) -> None:
        super().__init__("No effect of this tenant has this id.", metadata={"effect_id": effect_id})


class RepositoryNotFound(NotFound):
    """No repository of the tenant has this name."""

    reason = "REPOSITORY_NOT_FOUND"

    def __init__(self, key: str) -> None:
        super().__init__(
            f"No repository is registered as {key}. `astra repositories list` shows those that are.",
            metadata={"repository": key},
        )


class SourceContainerTaken(Exists):
    """Another repository has the container."""

    reason = "SOURCE_CONTAINER_TAKEN"

    def __init__(self, container: str) -> None:
        super().__init__(
            f"{container} belongs to another repository. Take it from that one first.",
            metadata={"source_container": container},
        )


class ThreadPostNotFound(NotFound):
    """No post of the tenant has this id."""

    reason = "THREAD_POST_NOT_FOUND"

    def __init__(self, thread_post_id: str) -> None:
        super().__init__("No post of this tenant has this id.", metadata={"thread_post_id": thread_post_id})


class VaultOff(Refused):
    """VAULT_KEY is not set."""

    reason = "VAULT_OFF"

    def __init__(self) -> None:
        super().__init__("The vault is off: VAULT_KEY is not set. docs/vault.md says how to make one.")


class VaultTokenNotFound(NotFound):
    """The tenant has no token for this integration and agent."""

    reason = "VAULT_TOKEN_NOT_FOUND"

    def __init__(self, integration: str, agent_slug: str) -> None:
        whose = f"agent {agent_slug}" if agent_slug else "all agents"
        super().__init__(
            f"The vault has no token of {integration} for {whose}. `astra vault list` shows those it has.",
            metadata={"integration": integration, "agent_slug": agent_slug},
        )


class VaultTokenUnreadable(Refused):
    """No key at hand opens the token, or it was sealed for another place."""

    reason = "VAULT_TOKEN_UNREADABLE"

    def __init__(self, key_id: str, *, key_known: bool) -> None:
        why = (
            f"Key {key_id!r} of VAULT_KEY does not open this token: the key was made anew, or the row is not "
            "the one that was sealed."
            if key_known
            else f"This token was sealed with key {key_id!r}, which is not in VAULT_KEY. Add that key again."
        )
        super().__init__(f"{why} Or put the token in once more.", metadata={"key_id": key_id})


class VaultTokenUseMissing(Refused):
    """The token may not be used for this."""

    reason = "VAULT_TOKEN_USE_MISSING"

    def __init__(self, integration: str, use: str) -> None:
        super().__init__(
            f"The vault's token of {integration} is not for use {use!r}. An operator can put one in that is: "
            "`astra vault put`.",
            metadata={"integration": integration, "use": use},
        )
