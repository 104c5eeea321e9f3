"""The keys of the operator: the first seals, and all of them open.

A session carries its keyring. A session that was not made by ``db.engine.open_database``, such as
that of a program that enqueues builds, takes it from the environment.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from db.errors import InvalidError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

VARIABLE = "PROVISIONERD_ENCRYPTION_KEYS"
FILE_VARIABLE = f"{VARIABLE}_FILE"
KEY_BYTES = 32
ID_BYTES = 8
MAX_FILE_CHARACTERS = 65_536
SESSION_INFO = "provisionerd.keyring"


class KeysError(InvalidError):
    """The keys cannot be read. The message says why, without any key."""


@dataclass(frozen=True)
class Key:
    """A key of 256 bits."""

    data: bytes = field(repr=False)

    @property
    def id(self) -> bytes:
        """What sealed values name the key by. It says nothing about the key."""
        return hashlib.sha256(b"provisionerd encryption key" + self.data).digest()[:ID_BYTES]

    @property
    def name(self) -> str:
        """The id as people see it."""
        return self.id.hex()


@dataclass(frozen=True)
class Keyring:
    """The keys in the order in which the operator wrote them."""

    keys: tuple[Key, ...] = ()

    @property
    def first(self) -> Key | None:
        """The key that seals; None: values are stored as they are."""
        return self.keys[0] if self.keys else None

    def find(self, key_id: bytes) -> Key | None:
        """Return the key of that id, if it is here."""
        return next((key for key in self.keys if key.id == key_id), None)


NO_KEYS = Keyring()


def read_keys(text: str) -> Keyring:
    """Return the keys in a text: each 32 bytes as base64, separated by commas or white space.

    Raises:
        KeysError: one is not such a key, or is there twice.
    """
    keys = tuple(
        _key(number, word) for number, word in enumerate(re.split(r"[,\s]+", text.strip(", \n")), 1)
    )
    if len(set(keys)) < len(keys):
        raise KeysError("a key is there twice")
    return Keyring(keys)


def keyring_of(session: Session) -> Keyring:
    """Return the keys that the session's values are sealed with and opened by.

    Raises:
        KeysError: those of the environment cannot be read.
    """
    given: Keyring | None = session.info.get(SESSION_INFO)
    return _of_environment() if given is None else given


def _of_environment() -> Keyring:
    if text := os.environ.get(VARIABLE):
        return read_keys(text)
    if path := os.environ.get(FILE_VARIABLE):
        return read_key_file(path)
    return NO_KEYS


def read_key_file(path: str | os.PathLike[str]) -> Keyring:
    """Return the keys in a file.

    Raises:
        KeysError: it cannot be read, or holds something else.
    """
    try:
        with Path(path).open(encoding="ascii") as file:
            return read_keys(file.read(MAX_FILE_CHARACTERS))
    except OSError as error:
        raise KeysError(f"the file {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError:
        raise KeysError(f"the file {path} is not text") from None


def _key(number: int, word: str) -> Key:
    try:
        data = base64.b64decode(word, validate=True)
    except ValueError:
        data = b""
    if len(data) != KEY_BYTES:
        raise KeysError(
            f"key {number} is not {KEY_BYTES} bytes as base64; `openssl rand -base64 {KEY_BYTES}`"
            " makes one"
        )
    return Key(data)
