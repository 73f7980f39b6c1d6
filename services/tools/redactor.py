"""Takes known secrets out of whatever leaves this service: a tool's result, an error's text.

Known are the installation's credentials, what the vault opened for the tenant at hand, and by their form the
short-lived tokens that vendors make of them. One tenant's tokens are not looked for in another's results: no
vendor repeats them there, and a tenant that calls a common word its token spoils its own results alone.

This is the second line: no tool means to show one, but a vendor may repeat what it was sent, and a repository
may hold what should not be in it.
"""

from __future__ import annotations

import base64
import json
import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from services.common.caller import caller_or_none
from services.common.errors import ServiceError

REDACTED = "[redacted]"
SECRET_CHARS_MIN = 8
"""A shorter one is part of too many words."""
KNOWN_MAX = 5_000
TENANTS_MAX = 1_000
DEPTH_MAX = 50
_MINTED = re.compile(r"\b(?:gh[su]_[A-Za-z0-9_.-]{16,}|ya29\.[A-Za-z0-9_-]{16,})")
"""Installation tokens of GitHub's Apps, and Google's access tokens."""
_PEM_LINE_CHARS_MIN = 40


class Redactor:
    """Knows secrets by value, of each tenant KNOWN_MAX forms; beyond it the shortest are forgotten.

    `secrets`: those that are everybody's. Beyond TENANTS_MAX the tenant that opened nothing for longest is
    forgotten.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._everywhere: Mapping[str, None] = {}
        self._of_tenants: OrderedDict[str, Mapping[str, None]] = OrderedDict()
        self.add(secrets)

    def add(self, secrets: Iterable[str]) -> None:
        """Make secrets known that are nobody's to see."""
        self._everywhere = _known(self._everywhere, secrets)

    def learn(self, message: Message, tenant_id: str) -> None:
        """Make known what a message says must not be shown to a tenant: its fields marked debug_redact."""
        self._of_tenants[tenant_id] = _known(self._of_tenants.get(tenant_id, {}), _secrets_in(message))
        self._of_tenants.move_to_end(tenant_id)
        if len(self._of_tenants) > TENANTS_MAX:
            self._of_tenants.popitem(last=False)

    def text(self, text: str) -> str:
        """A text without the secrets in it, for the caller of the work at hand."""
        caller = caller_or_none()
        of_tenant = self._of_tenants.get(caller.tenant_id, {}) if caller else {}
        for form in (*self._everywhere, *of_tenant):
            if form in text:
                text = text.replace(form, REDACTED)
        return _MINTED.sub(REDACTED, text)

    def message(self, message: Message) -> None:
        """Take the secrets out of every text of a message, in place."""
        _each_text(message, self.text, DEPTH_MAX)

    def error(self, error: ServiceError) -> None:
        """Take the secrets out of what an error tells its caller, in place."""
        error.message = self.text(error.message)
        error.args = (error.message,)
        error.metadata = {name: self.text(value) for name, value in error.metadata.items()}


def _known(before: Mapping[str, None], secrets: Iterable[str]) -> Mapping[str, None]:
    """What is known and some more, the longest first: a whole secret before its parts."""
    forms = {form: None for secret in secrets for form in _forms_of(secret)}
    if forms.keys() <= before.keys():
        return before
    return dict.fromkeys(sorted({**before, **forms}, key=len, reverse=True)[:KNOWN_MAX])


def _forms_of(secret: str) -> Iterator[str]:
    """A secret as it may stand in a text: itself, in a URL, in JSON, in base64 behind a user's name."""
    if len(secret.strip()) < SECRET_CHARS_MIN:
        return
    yield secret
    yield secret.strip()
    yield quote(secret, safe="")
    yield json.dumps(secret)[1:-1]
    for named in (secret, f"x-access-token:{secret}"):
        yield base64.b64encode(named.encode()).decode()
    if "\n" in secret:  # a private key: each line of it alone
        yield from (line for line in secret.split() if len(line) >= _PEM_LINE_CHARS_MIN)


def _secrets_in(message: Message) -> Iterator[str]:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            yield from _secrets_in(value)
        elif field.GetOptions().debug_redact:
            yield str(value)


def _each_text(message: Message, change: Any, depth: int) -> None:
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE and depth:
            for each in _messages(value):
                _each_text(each, change, depth - 1)
        elif field.type == FieldDescriptor.TYPE_STRING:
            if field.is_repeated:
                texts = cast("list[str]", list(value))
                changed = [change(each) for each in texts]
                if changed != texts:
                    value[:] = changed
            elif (text := change(value)) != value:
                setattr(message, field.name, text)


def _messages(value: Any) -> Iterable[Message]:
    """The messages of a field: one, several, or a map's values."""
    if isinstance(value, Message):
        return (value,)
    if hasattr(value, "values"):
        return [each for each in value.values() if isinstance(each, Message)]
    return value
