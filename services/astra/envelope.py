"""Sealing of the vault's tokens: a data key for each, wrapped by a key of VAULT_KEY. AES-256-GCM for both.

Whatever says whose the token is goes in as associated data, so that a row copied to another tenant, agent or
integration does not open there. No error of this module, and nothing it logs, holds a key or a value.
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
NONCE_BYTES = 12
KEYS_MAX = 20
_KEY_ID = re.compile(r"[A-Za-z0-9_.-]{1,32}")
_FORM = "is <id>:<key>, several with commas; a key is 32 bytes in base64, an id up to 32 letters and digits"


class CannotUnseal(Exception):
    """The key is not at hand, or what was sealed is not what it is taken for."""

    def __init__(self, key_id: str, *, key_known: bool) -> None:
        super().__init__(key_id)
        self.key_id = key_id
        self.key_known = key_known


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value at rest: nonce and ciphertext, and its data key under the key `key_id` names."""

    key_id: str
    wrapped_key: bytes
    ciphertext: bytes


class KeyRing:
    """The keys of VAULT_KEY by id. The first one seals, all of them open."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self.current = next(iter(keys))

    @property
    def ids(self) -> Sequence[str]:
        """All ids, the current one first."""
        return list(self._keys)

    def seal(self, value: bytes, bound_to: Sequence[str]) -> Sealed:
        """Seal a value with a fresh data key; it opens with the same `bound_to` only."""
        data_key = AESGCM.generate_key(KEY_BYTES * 8)
        names = _associated(bound_to)
        return Sealed(
            key_id=self.current,
            wrapped_key=_encrypt(self._keys[self.current], data_key, names + _associated([self.current])),
            ciphertext=_encrypt(AESGCM(data_key), value, names),
        )

    def open(self, sealed: Sealed, bound_to: Sequence[str]) -> bytes:
        """The value. Raises CannotUnseal."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise CannotUnseal(sealed.key_id, key_known=False)
        names = _associated(bound_to)
        try:
            data_key = _decrypt(key, sealed.wrapped_key, names + _associated([sealed.key_id]))
            return _decrypt(AESGCM(data_key), sealed.ciphertext, names)
        except (InvalidTag, ValueError):  # ValueError: too short to be one
            raise CannotUnseal(sealed.key_id, key_known=True) from None


def read_keys(setting: str) -> KeyRing | None:
    """The keys in VAULT_KEY; None for an empty one. Raises ValueError, which repeats nothing of it."""
    parts = [part.strip() for part in setting.split(",") if part.strip()]
    keys = dict(map(_read_key, parts))
    if len(keys) != len(parts):
        raise ValueError("names two keys by the same id")
    if len(keys) > KEYS_MAX:
        raise ValueError(f"holds more than {KEYS_MAX} keys")
    return KeyRing(keys) if keys else None


def _read_key(part: str) -> tuple[str, bytes]:
    key_id, _, encoded = part.partition(":")
    try:
        key = base64.b64decode(encoded, altchars=b"-_" if set("-_") & set(encoded) else None, validate=True)
    except ValueError:
        raise ValueError(_FORM) from None
    if not _KEY_ID.fullmatch(key_id) or len(key) != KEY_BYTES:
        raise ValueError(_FORM)
    return key_id, key


def _associated(names: Sequence[str]) -> bytes:
    """Names as bytes, each behind its length: no two lists of names look the same."""
    encoded = [name.encode() for name in names]
    return b"".join(len(each).to_bytes(4) + each for each in encoded)


def _encrypt(key: AESGCM, value: bytes, associated: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, value, associated)


def _decrypt(key: AESGCM, value: bytes, associated: bytes) -> bytes:
    return key.decrypt(value[:NONCE_BYTES], value[NONCE_BYTES:], associated)
