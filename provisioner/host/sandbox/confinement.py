"""What confines a command, in a form that the worker can send to the launcher.

This module runs in the launcher, so it imports little.
"""

from __future__ import annotations

from collections.abc import Sequence

from provisioner.host.sandbox.limits import Limits
from provisioner.host.sandbox.restriction import Rule

Packed = tuple[
    int,
    "tuple[int, int, int, int] | None",
    tuple[str, ...],
    "tuple[Rule, ...] | None",
    "int | None",
    bool,
]


class Confinement:
    """What the guard needs to know about a command.

    Args:
        depth: how many processes stand between the guard's child and the program.
        folders: whose files count for the limit of disk space.
        rules: of Landlock; None if something else confines the command.
        user: the id of the user who runs the command, and nothing else; None for this process's
            user. A command with rules becomes this user here, another one does so by itself.
        is_namespaced: whether the command is bubblewrap, which takes the filter of system calls
            from ``guard.FILTER_END``.
    """

    def __init__(
        self,
        *,
        depth: int = 0,
        limits: Limits | None = None,
        folders: Sequence[str] = (),
        rules: Sequence[Rule] | None = None,
        user: int | None = None,
        is_namespaced: bool = False,
    ) -> None:
        self.depth = depth
        self.limits = limits
        self.folders = tuple(folders)
        self.rules = None if rules is None else tuple(rules)
        self.user = user
        self.is_namespaced = is_namespaced

    def pack(self) -> Packed:
        """Return the values as ``unpack`` takes them."""
        limits = None if self.limits is None else self.limits.pack()
        return (self.depth, limits, self.folders, self.rules, self.user, self.is_namespaced)


def unpack(packed: Packed) -> Confinement:
    """Return the confinement that was packed."""
    depth, limits, folders, rules, user, is_namespaced = packed
    return Confinement(
        depth=depth,
        limits=None if limits is None else Limits(*limits),
        folders=folders,
        rules=rules,
        user=user,
        is_namespaced=is_namespaced,
    )
