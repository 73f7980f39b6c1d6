"""What the redactor takes out, and what it leaves."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from aucert.astra.v1.token_vault_pb2 import Credential, GoogleCredential, SlackCredential
from aucert.tools.v1.repo_service_pb2 import SearchTextResponse
from aucert.tools.v1.tool_service_pb2 import CallToolRequest, CallToolResponse
from services.common.caller import acting_for
from services.common.errors import Refused, ServiceError
from services.common.server import Registration
from services.tools.redacting import redacted
from services.tools.redactor import Redactor

SECRET = 'xoxb/1234+"5678'
PEM = "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n" + "B" * 64 + "\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        json.dumps(SECRET)[1:-1],
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"x-access-token:{SECRET}".encode()).decode(),
    ],
)
def test_a_secret_is_taken_out_in_every_form_it_may_be_repeated_in(form: str) -> None:
    assert "it is [redacted]!" == Redactor([SECRET]).text(f"it is {form}!")


@pytest.mark.parametrize("shown", [PEM, PEM.replace("\n", "\\n"), "A" * 64, "B" * 64])
def test_a_private_key_is_taken_out_whole_or_line_by_line(shown: str) -> None:
    told = Redactor([PEM]).text(f"key: {shown}")
    assert "[redacted]" in told
    assert not any(letter * 20 in told for letter in "AB")


@pytest.mark.parametrize(
    "minted", ["ghs_" + "a1" * 18, "ghs_123_eyJhbGci.eyJpc3Mi-_.sig", "ya29.a0Af_-" + "b" * 20]
)
def test_tokens_that_vendors_make_are_known_by_their_form(minted: str) -> None:
    assert "Bearer [redacted], said it" == Redactor().text(f"Bearer {minted}, said it")


@pytest.mark.parametrize("text", ["ghs_short", "the highs_and_lows_of_it", "python29.example", "short", ""])
def test_ordinary_words_stay(text: str) -> None:
    padded = [" " * 40, f"t{' ' * 40}"]  # what is left of it without the spaces is in every text
    assert text == Redactor(["short", "", "another-secret", *padded]).text(text)


def test_what_the_vault_opened_is_known_by_its_contract() -> None:
    redactor = Redactor()
    google = GoogleCredential(client_id="a-client.id", client_secret="the-secret", refresh_token="1//refresh")
    redactor.learn(Credential(google=google), "one")
    with acting_for("one"):
        assert "a-client.id [redacted] [redacted]" == redactor.text("a-client.id the-secret 1//refresh")


def test_a_tenant_spoils_no_other_tenants_words_by_what_it_calls_its_token() -> None:
    redactor = Redactor([SECRET])
    redactor.learn(Credential(slack=SlackCredential(bot_token="function")), "one")
    with acting_for("other"):
        assert "a function, [redacted]" == redactor.text(f"a function, {SECRET}")


def test_the_tenant_that_opened_nothing_for_longest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.tools.redactor.TENANTS_MAX", 2)
    redactor = Redactor()
    for tenant in ("one", "other", "one", "third"):
        redactor.learn(Credential(slack=SlackCredential(bot_token="xoxb-secret")), tenant)
    shown: list[str] = []
    for tenant in ("one", "other", "third"):
        with acting_for(tenant):
            shown.append(redactor.text("xoxb-secret"))
    assert ["[redacted]", "xoxb-secret", "[redacted]"] == shown


def test_every_text_of_a_message_is_redacted_however_deep() -> None:
    message = SearchTextResponse(text=f"a {SECRET}", continuation="stays")
    message.hits.add(path=SECRET, line=3)
    Redactor([SECRET]).message(message)
    assert ("a [redacted]", "stays") == (message.text, message.continuation)
    assert ("[redacted]", 3) == (message.hits[0].path, message.hits[0].line)


class Telling:
    """A servicer that tells, by answer and by error."""

    async def CallTool(self, request: CallToolRequest, context: Any) -> CallToolResponse:
        if request.tool_name == "refuse":
            raise Refused(f"no: {SECRET}", metadata={"code": SECRET})
        return CallToolResponse(text=SECRET)

    async def Watch(self, request: CallToolRequest, context: Any) -> Any:
        yield CallToolResponse(text=SECRET)
        raise Refused(f"no: {SECRET}")


async def test_answers_streams_and_errors_of_a_servicer_are_redacted() -> None:
    servicer: Any = redacted(
        Registration("any", lambda servicer, server: None, Telling()), Redactor([SECRET])
    ).servicer
    assert "[redacted]" == (await servicer.CallTool(CallToolRequest(), None)).text
    with pytest.raises(ServiceError) as refused:
        await servicer.CallTool(CallToolRequest(tool_name="refuse"), None)
    told = refused.value
    assert ("no: [redacted]", "no: [redacted]", {"code": "[redacted]"}) == (
        told.message,
        str(told),
        told.metadata,
    )
    stream = servicer.Watch(CallToolRequest(), None)
    assert "[redacted]" == (await anext(stream)).text
    with pytest.raises(ServiceError, match=r"no: \[redacted\]"):
        await anext(stream)
