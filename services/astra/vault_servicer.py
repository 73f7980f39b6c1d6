"""TokenVaultService."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aucert.astra.v1 import token_vault_service_pb2 as pb
from aucert.astra.v1.token_vault_pb2 import AuditEvent
from aucert.astra.v1.token_vault_service_pb2_grpc import TokenVaultServiceServicer
from services.astra import convert
from services.astra.audit_store import AuditStore
from services.astra.pages import key_of, page_size, token_after
from services.astra.vault_rotation import VaultRotation
from services.astra.vault_store import VaultStore, Wanted, all_uses
from services.common.caller import current_caller
from services.common.errors import FieldInvalid

if TYPE_CHECKING:
    from services.common.door import Context

TOKENS_A_PAGE, TOKENS_A_PAGE_MAX = 50, 200
EVENTS_A_PAGE, EVENTS_A_PAGE_MAX = 50, 200
TOKENS_A_BATCH, TOKENS_A_BATCH_MAX = 100, 1000
_TOKENS, _EVENTS = "vault_tokens", "audit_events"


class VaultServicer(TokenVaultServiceServicer):
    """The vault. `key_id` empty: it is off."""

    def __init__(self, vault: VaultStore, rotation: VaultRotation, audit: AuditStore, *, key_id: str) -> None:
        self._vault = vault
        self._rotation = rotation
        self._audit = audit
        self._key_id = key_id

    async def PutToken(self, request: pb.PutTokenRequest, context: Context) -> pb.PutTokenResponse:
        """Put a token in."""
        del context
        uses = [convert.TOKEN_USE.word(use) for use in request.uses] or all_uses()
        _refuse_second_writer(request, uses)
        token = await self._vault.put(
            current_caller().tenant_id, _name(), request.credential, agent_slug=request.agent_slug, uses=uses
        )
        return pb.PutTokenResponse(vault_token=token)

    async def ListTokens(self, request: pb.ListTokensRequest, context: Context) -> pb.ListTokensResponse:
        """List tokens without their values."""
        del context
        limit = page_size(request.page_size, usual=TOKENS_A_PAGE, most=TOKENS_A_PAGE_MAX)
        key = key_of(request.page_token, _TOKENS, str, str)
        found = await self._vault.tokens(
            current_caller().tenant_id, after=(key[0], key[1]) if key else None, limit=limit + 1
        )
        response = pb.ListTokensResponse(vault_tokens=found[:limit])
        if len(found) > limit:
            last = found[limit - 1]
            integration = convert.INTEGRATION.word(last.integration)
            response.next_page_token = token_after(_TOKENS, integration, last.agent_slug)
        return response

    async def DeleteToken(self, request: pb.DeleteTokenRequest, context: Context) -> pb.DeleteTokenResponse:
        """Take a token out."""
        del context
        integration = convert.INTEGRATION.word(request.integration)
        await self._vault.delete(current_caller().tenant_id, _name(), integration, request.agent_slug)
        return pb.DeleteTokenResponse()

    async def RotateKeys(self, request: pb.RotateKeysRequest, context: Context) -> pb.RotateKeysResponse:
        """Seal a batch of tokens anew."""
        del context
        size = page_size(request.batch_size, usual=TOKENS_A_BATCH, most=TOKENS_A_BATCH_MAX)
        rotated = await self._rotation.rotate(_name(), batch_size=size)
        return pb.RotateKeysResponse(
            key_id=rotated.key_id,
            resealed_count=rotated.resealed,
            remaining_count=rotated.remaining,
            unreadable_count=rotated.unreadable,
            unreadable_key_ids=rotated.unreadable_key_ids,
        )

    async def OpenToken(self, request: pb.OpenTokenRequest, context: Context) -> pb.OpenTokenResponse:
        """Hand out a token's value, on record."""
        del context
        wanted = Wanted(
            integration=convert.INTEGRATION.word(request.integration),
            use=convert.TOKEN_USE.word(request.use),
            task_run_id=request.task_run_id or None,
            principal=request.principal,
        )
        opened = await self._vault.open(current_caller().tenant_id, _name(), wanted)
        return pb.OpenTokenResponse(
            credential=opened.credential,
            vault_token_id=opened.vault_token_id,
            tenant_slug=opened.tenant_slug,
        )

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: Context
    ) -> pb.ListAuditEventsResponse:
        """Read the vault's record."""
        del context
        limit = page_size(request.page_size, usual=EVENTS_A_PAGE, most=EVENTS_A_PAGE_MAX)
        key = key_of(request.page_token, _EVENTS, datetime.fromisoformat, uuid.UUID)
        found = await self._audit.events(
            current_caller().tenant_id,
            integration=convert.INTEGRATION.word(request.integration),
            after=(key[0], key[1]) if key else None,
            limit=limit + 1,
        )
        more = len(found) > limit
        return pb.ListAuditEventsResponse(
            audit_events=found[:limit], next_page_token=_after(found[limit - 1]) if more else ""
        )

    async def GetVault(self, request: pb.GetVaultRequest, context: Context) -> pb.GetVaultResponse:
        """Say whether the vault is on."""
        del request, context
        off_reason = "" if self._key_id else "not set: VAULT_KEY"
        return pb.GetVaultResponse(on=not off_reason, off_reason=off_reason, key_id=self._key_id)


def _refuse_second_writer(request: pb.PutTokenRequest, uses: list[str]) -> None:
    """Raise FieldInvalid for an account on Google that one agent alone would write as.

    Google tells nothing of who wrote a comment but whether the account that reads it did, and comments are
    read by the account of all agents: another one's answers would be taken for a person's, and answered.
    """
    if request.credential.HasField("google") and request.agent_slug and "write" in uses:
        problem = "on Google one agent's own token can be for read only: all agents write as one account"
        raise FieldInvalid([("uses", problem)])


def _name() -> str:
    """Who calls, for the record."""
    principal = current_caller().principal
    return principal.name if principal else ""


def _after(event: AuditEvent) -> str:
    created = event.created_time.ToDatetime(tzinfo=UTC).isoformat()
    return token_after(_EVENTS, created, event.audit_event_id)
