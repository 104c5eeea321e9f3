"""Confine the calling process by Landlock, for ever, with everything that it starts (Linux).

The rules are checked by the kernel. There is no C library function for them, so the system calls
are made by number. This module runs in the launcher, so it imports little.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Sequence
from contextlib import suppress

from provisioner.host.sandbox.syscalls import forbid_calls

READ = 0
WRITE = 1
Rule = tuple[str, int]
"""A path with everything below it, and whether it may be read or also written."""

MINIMUM_ABI = 3
"""Older kernels cannot forbid to empty a file."""
SIGNALS_ABI = 6
"""Older kernels cannot forbid signals to processes outside."""

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ABI_QUESTION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEVICE = 1 << 14, 1 << 15
_ALL_OF_ABI_3 = (1 << 15) - 1  # up to TRUNCATE
_IOCTL_ABI = 5
_READ_ACCESS = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEVICE
_MAKE_DEVICES = 1 << 6 | 1 << 11
_ABSTRACT_SOCKETS, _SIGNALS = 1 << 0, 1 << 1
_SCOPES = _ABSTRACT_SOCKETS | _SIGNALS
_RULESET = struct.Struct("=QQQ")  # file system, network, scopes
_SIZE_BEFORE_SCOPES, _SIZE_BEFORE_NETWORK = 16, 8
_BENEATH = struct.Struct("=Qi")

_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP = 38, 24
_CAPABILITIES = 64  # more than there are
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522
_NO_CAPABILITIES = bytes(24)

_LIBC = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Return the version of the kernel's Landlock.

    Raises:
        OSError: the kernel has none, or does not allow it.
    """
    return _call(_CREATE_RULESET, None, 0, _ABI_QUESTION)


def restrict(rules: Sequence[Rule]) -> None:
    """Forbid this process all files but those of the rules, signals outside, and capabilities.

    Calls that go round such rules are forbidden, too (``syscalls``).

    A path that does not exist, or that this user cannot reach, is left out.

    Raises:
        OSError: the kernel does not allow it.
    """
    version = abi()
    handled = _ALL_OF_ABI_3 | (_IOCTL_DEVICE if version >= _IOCTL_ABI else 0)
    ruleset = _make_ruleset(version, handled)
    for path, access in rules:
        _add_rule(ruleset, path, _access(access) & handled)
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    forbid_calls()


def forbid_abstract_sockets(program: bytes) -> None:
    """Forbid this process to reach abstract Unix sockets of processes that it has not started.

    Does nothing where the kernel cannot, or if the program that will be started next needs the
    privileges that its file gives it.
    """
    with suppress(OSError):
        if abi() < SIGNALS_ABI or os.stat(program).st_mode & stat.S_ISUID:  # noqa: PTH116
            return
        ruleset = _call(_CREATE_RULESET, _RULESET.pack(0, 0, _ABSTRACT_SOCKETS), _RULESET.size, 0)
        if os.geteuid() != 0:
            _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _call(_RESTRICT_SELF, ruleset, 0)
        os.close(ruleset)


def empty_bounding_set() -> None:
    """Keep programs of this process from ever getting root's privileges back.

    An ordinary user is not allowed to do this, and has none to get.
    """
    for capability in range(_CAPABILITIES):
        _LIBC.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)


def _make_ruleset(version: int, handled: int) -> int:
    attributes = _RULESET.pack(handled, 0, _SCOPES)
    if version < SIGNALS_ABI:
        network_abi = 4
        size = _SIZE_BEFORE_SCOPES if version >= network_abi else _SIZE_BEFORE_NETWORK
        attributes = attributes[:size]
    return _call(_CREATE_RULESET, attributes, len(attributes), 0)


def _access(access: int) -> int:
    return (_ALL_OF_ABI_3 | _IOCTL_DEVICE) & ~_MAKE_DEVICES if access == WRITE else _READ_ACCESS


def _add_rule(ruleset: int, path: str, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    if not os.path.isdir(path):  # noqa: PTH112 -- importing pathlib takes too long here
        access &= _OF_FILES
    beneath = _BENEATH.pack(access, descriptor)
    _call(_ADD_RULE, ruleset, _PATH_BENEATH, beneath, 0)
    os.close(descriptor)


def _drop_capabilities() -> None:
    number = _CAPSET.get(os.uname().machine)
    if number is not None:
        header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
        with suppress(PermissionError):  # a filter of systemd forbids it, to those who have none
            _call(number, header, _NO_CAPABILITIES)


def _prctl(option: int, value: int) -> None:
    if _LIBC.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _call(number: int, *arguments: int | bytes | None) -> int:
    wide = (ctypes.c_long(value) if isinstance(value, int) else value for value in arguments)
    result = int(_LIBC.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
