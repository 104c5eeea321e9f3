"""A filter of system calls for commands in a sandbox (seccomp).

The sandbox rules what files a command may open, and which processes it sees. This takes away the
calls by which it could go round such rules, leave a program that runs as its user (setuid), make
namespaces of its own, or reach parts of the kernel that have been the way to its privileges more
than once. A forbidden call fails as if the right were missing. This module runs in the launcher,
so it imports little.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterator, Sequence

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
# Shared with all processes of the host that have no IPC namespace of their own; what is made
# there outlives the command.
_SHARED_WITH_HOST = {
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
# These could take another process's files, memory or processor from it: only the caller's own.
_ON_A_PROCESS = {
    "prlimit64": (302, 261),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
}
_ON_A_KIND = {"setpriority": (141, 140), "ioprio_set": (251, 30)}  # a process, group or user
_OF_USER = {"setpriority": 2, "ioprio_set": 3}
_NEW_NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID and NET
_SETID = 0o6000
# name: the numbers, the argument (from 0), and the bits of it that are forbidden
_WITH_BITS = {
    "clone": ((56, 220), 0, _NEW_NAMESPACES),
    "unshare": ((272, 97), 0, _NEW_NAMESPACES),
    "chmod": ((90, None), 1, _SETID),
    "fchmod": ((91, 52), 1, _SETID),
    "fchmodat": ((268, 53), 2, _SETID),
    "fchmodat2": ((452, 452), 2, _SETID),
    "creat": ((85, None), 1, _SETID),
    "mknod": ((133, None), 1, _SETID),
    "mknodat": ((259, 33), 2, _SETID),
}
_OPENING = {"open": ((2, None), 1), "openat": ((257, 56), 2)}  # the flags; the mode follows
_CREATES = 0o20000100  # O_CREAT and O_TMPFILE: without them there is no mode
# Their flags are in memory, where a filter cannot look: libraries take older calls instead.
_UNKNOWN = {"clone3": (435, 435), "openat2": (437, 437)}
_PRCTL, _PR_SET_DUMPABLE = (157, 167), 4  # would hide its open files from the guard

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_STEP = struct.Struct("=HBBI")
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

_Step = tuple[int, int, int, int]
_ALLOW: _Step = (_RETURN, 0, 0, 0x7FFF0000)
_FAIL: _Step = (_RETURN, 0, 0, 0x00050000 | errno.EPERM)
_MISSING: _Step = (_RETURN, 0, 0, 0x00050000 | errno.ENOSYS)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_char_p))


def forbid_calls() -> bool:
    """Forbid this process the calls above, for ever, with everything that it starts.

    It must not be able to get privileges (``PR_SET_NO_NEW_PRIVS``).

    Returns:
        Whether the kernel filters now; it does not on other machines, or without seccomp.
    """
    data = filter_program(has_own_processes=False)
    if data is None:
        return False
    program = _Program(len(data) // _STEP.size, data)
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0) == 0)


def filter_program(*, has_own_processes: bool) -> bytes | None:
    """Return the filter as the kernel takes it; None if it is not known for this machine.

    Args:
        has_own_processes: whether the command has process and IPC namespaces of its own.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return None
    column, architecture = machine
    steps = [*_head(architecture), *_everywhere(column)]
    if not has_own_processes:
        steps += _among_processes_of_host(column)
    return b"".join(_STEP.pack(*step) for step in (*steps, _ALLOW))


def _head(architecture: int) -> Iterator[_Step]:
    """Refuse a program of another kind, whose calls have other numbers; load the number."""
    yield from (_load(_ARCHITECTURE), (_EQUAL, 1, 0, architecture), _FAIL)
    yield from (_load(_NUMBER), (_AT_LEAST, 0, 1, _X32), _FAIL)


def _everywhere(column: int) -> Iterator[_Step]:
    for numbers in _UNKNOWN.values():
        yield from _for_call(numbers[column], _MISSING)
    for numbers in _FORBIDDEN.values():
        yield from _for_call(numbers[column], _FAIL)
    for variants, argument, bits in _WITH_BITS.values():
        yield from _for_call(variants[column], *_without_bits(argument, bits))
    for variants, flags in _OPENING.values():
        rest = _without_bits(flags + 1, _SETID)
        is_open = (_HAS_BITS, 1, 0, _CREATES)
        yield from _for_call(variants[column], _load_argument(flags), is_open, _ALLOW, *rest)


def _among_processes_of_host(column: int) -> Iterator[_Step]:
    for numbers in _SHARED_WITH_HOST.values():
        yield from _for_call(numbers[column], _FAIL)
    for numbers in _ON_A_PROCESS.values():
        yield from _for_call(numbers[column], *_own(0))
    for name, numbers in _ON_A_KIND.items():
        of_user = (_load_argument(0), (_EQUAL, 0, 1, _OF_USER[name]), _FAIL)
        yield from _for_call(numbers[column], *of_user, *_own(1))
    hides = (_load_argument(0), (_EQUAL, 0, 1, _PR_SET_DUMPABLE), _FAIL, _ALLOW)
    yield from _for_call(_PRCTL[column], *hides)


def _for_call(number: int | None, *steps: _Step) -> Iterator[_Step]:
    """Take the steps, which end with a verdict, for one call."""
    if number is not None:  # this machine has the call
        yield (_EQUAL, 0, len(steps), number)
        yield from steps


def _without_bits(argument: int, bits: int) -> Sequence[_Step]:
    return (_load_argument(argument), (_HAS_BITS, 0, 1, bits), _FAIL, _ALLOW)


def _own(argument: int) -> Sequence[_Step]:
    """Allow the call only if its argument is 0, which stands for the caller."""
    return (_load_argument(argument), (_EQUAL, 1, 0, 0), _FAIL, _ALLOW)


def _load(place: int) -> _Step:
    return (_LOAD, 0, 0, place)


def _load_argument(argument: int) -> _Step:
    return _load(_ARGUMENTS + 8 * argument)  # the lower half: both machines are little-endian
