"""The principals of an installation and what each may do: nothing it does not need."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aucert.common.v1 import scope_pb2 as scope
from aucert.common.v1.scope_pb2 import Scope

_PREFIX = "SCOPE_"

PRINCIPALS: Mapping[str, frozenset[Scope.ValueType]] = {
    "gateway": frozenset(
        {
            scope.SCOPE_WEBHOOKS_INGEST,
            scope.SCOPE_TASKS_WRITE,
            scope.SCOPE_RUNS_READ,
            scope.SCOPE_REGISTRY_READ,
            scope.SCOPE_MODELS_READ,
            scope.SCOPE_PRINCIPALS_AUTHENTICATE,
            scope.SCOPE_ANY_TENANT,
        }
    ),
    "dispatcher": frozenset(
        {
            scope.SCOPE_RUNS_DISPATCH,
            scope.SCOPE_RUNS_READ,
            scope.SCOPE_REGISTRY_READ,
            scope.SCOPE_MODELS_READ,
            scope.SCOPE_THREADS_POST,
            scope.SCOPE_PRINCIPALS_AUTHENTICATE,
            scope.SCOPE_ANY_TENANT,
        }
    ),
    "worker": frozenset(
        {
            scope.SCOPE_RUNS_WORK,
            scope.SCOPE_RUNS_READ,
            scope.SCOPE_EVENTS_CLAIM,
            scope.SCOPE_WATCHES_RENEW,
            scope.SCOPE_REGISTRY_READ,
            scope.SCOPE_MODELS_READ,
            scope.SCOPE_MODELS_GENERATE,
            scope.SCOPE_TOOLS_READ,
            scope.SCOPE_TOOLS_CALL,
            scope.SCOPE_THREADS_POST,
            scope.SCOPE_PRINCIPALS_AUTHENTICATE,
            scope.SCOPE_ANY_TENANT,
        }
    ),
    "tools": frozenset(
        {
            scope.SCOPE_POSTS_RECORD,
            scope.SCOPE_VAULT_OPEN,
            scope.SCOPE_VAULT_READ,
            scope.SCOPE_RUNS_READ,
            scope.SCOPE_REGISTRY_READ,
            scope.SCOPE_PRINCIPALS_AUTHENTICATE,
            scope.SCOPE_KNOWLEDGE_READ,
            scope.SCOPE_KNOWLEDGE_WRITE,
            scope.SCOPE_MODELS_EMBED,
            scope.SCOPE_QUOTAS_USE,
            scope.SCOPE_ANY_TENANT,
        }
    ),
    "models": frozenset(
        {
            scope.SCOPE_REGISTRY_READ,
            scope.SCOPE_PRINCIPALS_AUTHENTICATE,
            scope.SCOPE_QUOTAS_USE,
            scope.SCOPE_ANY_TENANT,
        }
    ),
    "astra": frozenset({scope.SCOPE_PRINCIPALS_AUTHENTICATE}),
    "operator": frozenset(
        {
            scope.SCOPE_BUDGETS_WRITE,
            scope.SCOPE_QUOTAS_READ,
            scope.SCOPE_DELIVERIES_READ,
            scope.SCOPE_DELIVERIES_WRITE,
            scope.SCOPE_VAULT_READ,
            scope.SCOPE_VAULT_WRITE,
            scope.SCOPE_TASKS_WRITE,
            scope.SCOPE_RUNS_READ,
            scope.SCOPE_REGISTRY_READ,
            scope.SCOPE_REGISTRY_WRITE,
            scope.SCOPE_KNOWLEDGE_READ,
            scope.SCOPE_KNOWLEDGE_WRITE,
            scope.SCOPE_MODELS_EMBED,
            scope.SCOPE_MODELS_READ,
            scope.SCOPE_MODELS_GENERATE,
            scope.SCOPE_TOOLS_READ,
            scope.SCOPE_TOOLS_CALL,
            scope.SCOPE_TOOLS_WRITE,
        }
    ),
    "api": frozenset({scope.SCOPE_TASKS_WRITE, scope.SCOPE_RUNS_READ}),
}


def agent_principal(slug: str) -> str:
    """Name of an agent's own principal. It has no token: services act for it, and the record says so."""
    return f"agent:{slug}"


def scope_words(scopes: Iterable[Scope.ValueType]) -> list[str]:
    """Scopes as the record stores them: lower case, without the prefix, in order."""
    return sorted(Scope.Name(each).removeprefix(_PREFIX).lower() for each in scopes)


def scopes_of(words: Iterable[str]) -> frozenset[Scope.ValueType]:
    """Scopes as stored; a word this release does not know grants nothing."""
    names = (_PREFIX + word.upper() for word in words)
    return frozenset(Scope.Value(name) for name in names if name in Scope.keys())  # noqa: SIM118 - an enum wrapper
