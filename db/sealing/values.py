"""Seal values before they are stored, and open them after they were read.

Without a key a value is stored as it is, a large one compressed. What is not sealed opens, too, so
rows from before the first key stay readable.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from db.errors import SealedError
from db.sealing.compression import compress, decompress, size_of_compressed
from db.sealing.envelope import facts_of, is_sealed, seal, unseal
from db.sealing.keyring import keyring_of
from db.sealing.places import Place

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

TEXT_MARK = "provisionerd-sealed:"
"""What the text form of a sealed value begins with; base64 follows."""


def seal_bytes(
    session: Session, data: bytes, place: Place, *, row: uuid.UUID, attempt: int = 0
) -> bytes:
    """Return what to store for a value: sealed if the session has a key."""
    key = keyring_of(session).first
    return seal(key, place, data, row=row, attempt=attempt) if key else compress(data)


def open_bytes(
    session: Session, stored: bytes, place: Place, *, row: uuid.UUID | None = None
) -> bytes:
    """Return a stored value.

    Args:
        row: the row that it must have been sealed for; None if it may be a copy of another's.

    Raises:
        SealedError: it is sealed, and does not open.
    """
    if not is_sealed(stored):
        return decompress(stored, place)
    return unseal(keyring_of(session), place, stored, row=row)


def size_of(head: bytes | None, stored_size: int | None) -> int | None:
    """Return the size of a value in bytes, from its first bytes and its size as it is stored."""
    if head is None:
        return stored_size
    return facts_of(head).size if is_sealed(head) else size_of_compressed(head) or stored_size


def seal_text(session: Session, text: str, place: Place, *, row: uuid.UUID) -> str:
    """Return what to store for a text. One that is sealed already stays as it is."""
    key = None if is_sealed_text(text) else keyring_of(session).first
    return text_form(seal(key, place, text.encode(), row=row)) if key else text


def open_text(session: Session, stored: str, place: Place) -> str:
    """Return a stored text.

    Raises:
        SealedError: it is sealed, and does not open.
    """
    if not is_sealed_text(stored):
        return stored
    return unseal(keyring_of(session), place, bytes_form(stored, place)).decode()


def open_texts(
    session: Session, stored: Mapping[str, str], place_of: Callable[[str], Place]
) -> dict[str, str]:
    """Return stored texts by name.

    Args:
        place_of: returns the place of the text of that name.

    Raises:
        SealedError: one is sealed, and does not open.
    """
    return {name: open_text(session, text, place_of(name)) for name, text in stored.items()}


def is_sealed_text(stored: str) -> bool:
    """Return whether a stored text is sealed."""
    return stored.startswith(TEXT_MARK)


def text_form(sealed: bytes) -> str:
    """Return a sealed value as text."""
    return TEXT_MARK + base64.b64encode(sealed).decode()


def bytes_form(stored: str, place: Place) -> bytes:
    """Return a sealed text as bytes.

    Raises:
        SealedError: it only begins like one.
    """
    try:
        sealed = base64.b64decode(stored.removeprefix(TEXT_MARK), validate=True)
    except ValueError:
        sealed = b""
    if not is_sealed(sealed):
        raise SealedError(f"{place.noun} does not open: it is not whole")
    return sealed
