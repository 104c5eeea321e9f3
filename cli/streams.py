"""The standard streams of the command line, which may be closed, full or of any encoding."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
_NAMES = ("stdin", "stdout", "stderr")


def prepare_streams() -> None:
    """Make each standard stream usable.

    A closed one becomes the null device: otherwise the next file or connection would get its
    number. What an encoding lacks is written with backslashes.
    """
    for number, name in enumerate(_NAMES):
        if getattr(sys, name) is None:
            setattr(sys, name, _open_null(number))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def explaining_unwritable() -> Iterator[None]:
    """End the process with one sentence and status 1 if the block cannot write its output."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None or error.errno not in _UNWRITABLE:
            raise
        # What is still in the buffer would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stderr.write(f"Error: the output cannot be written ({error.strerror})\n")
        sys.exit(1)


def _open_null(number: int) -> io.TextIOWrapper:
    # The lowest free number, and all before it are in use.
    descriptor = os.open(os.devnull, os.O_RDWR)
    if descriptor != number:
        os.dup2(descriptor, number)
        os.close(descriptor)
    return open(number, "r" if number == 0 else "w", encoding="utf-8", closefd=False)
