"""The form of a large state that is stored without a key: compressed.

PostgreSQL would compress it too, with twice the processor time and less well, and not at all what
has no repetitions, such as keys and certificates. A small state is stored as the JSON that it is,
so that SQL can read it.

MAGIC  size        the head
value, compressed by zlib
"""

from __future__ import annotations

import struct
import zlib

from db.errors import SealedError
from db.sealing.places import Place

MAGIC = b"\0PZLIB\1"  # no state begins with NUL: it is JSON
LARGE = 512 * 1024  #: bytes
FASTEST = 1  #: of zlib's levels; the next ones cost more than they save
_HEAD = struct.Struct(f">{len(MAGIC)}sQ")


def compress(data: bytes) -> bytes:
    """Return what to store for a value: compressed if it is large and becomes smaller."""
    if len(data) < LARGE:
        return data
    stored = _HEAD.pack(MAGIC, len(data)) + zlib.compress(data, FASTEST)
    return stored if len(stored) < len(data) else data


def decompress(stored: bytes, place: Place) -> bytes:
    """Return a value as it was before ``compress``.

    Raises:
        SealedError: it is not whole.
    """
    size = size_of_compressed(stored)
    if size is None:
        return stored
    try:
        return zlib.decompress(stored[_HEAD.size :], bufsize=size)
    except zlib.error:
        raise SealedError(f"{place.noun} does not open: it is not whole") from None


def size_of_compressed(head: bytes) -> int | None:
    """Return the size of a value from the first bytes of what is stored; None if it is plain."""
    if not head.startswith(MAGIC) or len(head) < _HEAD.size:
        return None
    size: int = _HEAD.unpack_from(head)[1]
    return size
