"""A filter of system calls for commands that only Landlock confines (seccomp).

Landlock rules what files a process may open. This takes away the calls by which it could get at
other processes, make namespaces of its own, or reach parts of the kernel that have been the way to
its privileges more than once. A forbidden call fails as if the right were missing. This module
runs in the launcher, so it imports little.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

# name: the numbers of x86-64 and of arm64
_FORBIDDEN = {
    # The memory and the descriptors of other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    # Other namespaces and mounts.
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    # Files by handles go round every rule about paths.
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # Keys of the user that other processes share.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    # Large parts of the kernel that a template does not need.
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # The host itself. These need privileges, too.
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "syslog": (103, 116),
}
_WITH_FLAGS = {"clone": (56, 220), "unshare": (272, 97)}  # only without new namespaces
_CLONE3 = 435  # its flags are in memory, where a filter cannot look: libraries use clone instead
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID and NET

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_STEP = struct.Struct("=HBBI")
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_Step = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def forbid_calls() -> bool:
    """Forbid this process the calls above, for ever, with everything that it starts.

    It must not be able to get privileges (``PR_SET_NO_NEW_PRIVS``).

    Returns:
        Whether the kernel filters now; it does not on other machines, or without seccomp.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return False
    steps = _steps(*machine)
    data = b"".join(_STEP.pack(*step) for step in steps)
    program = _Program(len(steps), data)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def _steps(column: int, architecture: int) -> Sequence[_Step]:
    """Return the filter. A jump says how many steps to skip if the test holds, and if not."""
    fail = (_RETURN, 0, 0, _FAIL | errno.EPERM)
    steps: list[_Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        fail,  # a program of another kind, whose calls have other numbers
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        fail,
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
    ]
    for numbers in _FORBIDDEN.values():
        steps += [(_EQUAL, 0, 1, numbers[column]), fail]
    for numbers in _WITH_FLAGS.values():
        steps += [
            (_EQUAL, 0, 4, numbers[column]),
            (_LOAD, 0, 0, _FIRST_ARGUMENT),
            (_HAS_BITS, 0, 1, _NEW_NAMESPACES),
            fail,
            (_RETURN, 0, 0, _ALLOW),
        ]
    return [*steps, (_RETURN, 0, 0, _ALLOW)]
