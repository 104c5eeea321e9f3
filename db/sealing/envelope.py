"""The format of sealed values: AES-256-GCM under a key of its own, which an operator's key wraps.

MAGIC  key id  nonce  wrapped key        the wrap: a rotation replaces it
flags  row  attempt  size  nonce         the facts
value, compressed if that is shorter, and its tag

The facts and the place of the value are authenticated with it. So a value that was moved to
another place, or whose facts were changed, does not open. The wrap is on its own, so that a
rotation neither reads nor writes the value.

The nonce of a wrap is random, so one operator's key may wrap 2**32 values before it is replaced.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from db.errors import SealedError
from db.sealing.compression import FASTEST
from db.sealing.keyring import KEY_BYTES, VARIABLE, Key, Keyring
from db.sealing.places import Place

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"\0PSEAL\1"  # no state begins with NUL: it is JSON
NONCE_BYTES, TAG_BYTES = 12, 16
_WRAP = struct.Struct(f">{len(MAGIC)}s8s{NONCE_BYTES}s{KEY_BYTES + TAG_BYTES}s")
_FACTS = struct.Struct(f">B16sIQ{NONCE_BYTES}s")
WRAP_BYTES = _WRAP.size
HEAD_BYTES = _WRAP.size + _FACTS.size
COMPRESSED = 1
WORTH_COMPRESSING = 1024  #: bytes


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a sealed value without its key."""

    flags: int
    row: uuid.UUID  #: the row that it was sealed for
    attempt: int  #: the attempt of the job that sealed it; 0 if it was no job
    size: int  #: of the value, in bytes
    nonce: bytes

    @property
    def packed(self) -> bytes:
        """The facts as they are stored."""
        return _FACTS.pack(self.flags, self.row.bytes, self.attempt, self.size, self.nonce)


def is_sealed(data: bytes) -> bool:
    """Return whether these bytes, or the value that they begin, are sealed."""
    return data.startswith(MAGIC) and len(data) >= HEAD_BYTES


def facts_of(head: bytes) -> Facts:
    """Return the facts of a sealed value, from its first ``HEAD_BYTES``."""
    flags, row, attempt, size, nonce = _FACTS.unpack_from(head, WRAP_BYTES)
    return Facts(flags=flags, row=uuid.UUID(bytes=row), attempt=attempt, size=size, nonce=nonce)


def key_id_of(head: bytes) -> bytes:
    """Return the id of the key that a value is sealed with, from its first bytes."""
    return head[len(MAGIC) : len(MAGIC) + 8]


def seal(key: Key, place: Place, data: bytes, *, row: uuid.UUID, attempt: int = 0) -> bytes:
    """Return the value sealed for its place and row."""
    body = zlib.compress(data, FASTEST) if len(data) >= WORTH_COMPRESSING else data
    is_shorter = len(body) < len(data)
    facts = Facts(
        flags=COMPRESSED if is_shorter else 0,
        row=row,
        attempt=attempt,
        size=len(data),
        nonce=os.urandom(NONCE_BYTES),
    )
    value_key = os.urandom(KEY_BYTES)
    bound = facts.packed + place.bound
    sealed = _cipher(value_key).encrypt(facts.nonce, body if is_shorter else data, bound)
    return _wrapped(key, value_key, bound) + facts.packed + sealed


def unseal(keyring: Keyring, place: Place, data: bytes, *, row: uuid.UUID | None = None) -> bytes:
    """Return the value that was sealed.

    Args:
        row: the row that it must have been sealed for; None if it may be a copy of another's.

    Raises:
        SealedError: the key is missing, or the value was changed or is not of this place.
    """
    facts = facts_of(data)
    bound = facts.packed + place.bound
    value_key = _unwrapped(keyring, place, data, bound)
    if row is not None and facts.row != row:
        raise SealedError(f"{place.noun} was sealed for another row than {row}")
    body = _decrypt(value_key, facts.nonce, data[HEAD_BYTES:], bound, place)
    return zlib.decompress(body, bufsize=facts.size) if facts.flags & COMPRESSED else body


def rewrap(keyring: Keyring, place: Place, head: bytes) -> bytes:
    """Return the wrap of a sealed value under the first key, from the value's first bytes.

    Raises:
        SealedError: the key is missing, or the value was changed or is not of this place.
    """
    first = keyring.first
    assert first is not None
    bound = facts_of(head).packed + place.bound
    return _wrapped(first, _unwrapped(keyring, place, head, bound), bound)


def _wrapped(key: Key, value_key: bytes, bound: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    wrapped = _cipher(key.data).encrypt(nonce, value_key, MAGIC + key.id + bound)
    return _WRAP.pack(MAGIC, key.id, nonce, wrapped)


def _unwrapped(keyring: Keyring, place: Place, head: bytes, bound: bytes) -> bytes:
    _magic, key_id, nonce, wrapped = _WRAP.unpack_from(head)
    key = keyring.find(key_id)
    if key is None:
        raise SealedError(f"{place.noun} is sealed with key {key_id.hex()}, which {VARIABLE} lacks")
    return _decrypt(key.data, nonce, wrapped, MAGIC + key_id + bound, place)


def _decrypt(key: bytes, nonce: bytes, data: bytes, bound: bytes, place: Place) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - see _cipher

    try:
        return _cipher(key).decrypt(nonce, data, bound)
    except InvalidTag:
        raise SealedError(
            f"{place.noun} does not open: it was changed, or was sealed for another place"
        ) from None


def _cipher(key: bytes) -> AESGCM:
    # Here: a process without a key, such as one that enqueues builds, does not load OpenSSL.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

    return AESGCM(key)
