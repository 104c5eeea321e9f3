"""Commands that are imported when they are used.

SQLAlchemy, Celery and the HCL parser take more than a second to import; a list or ``--help`` should
not wait for them. This is the only module that imports by name.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import click


def imported(place: str) -> Any:
    """Import and return the object ``MODULE:NAME``."""
    module, _, name = place.partition(":")
    if module in sys.modules:
        return getattr(sys.modules[module], name)
    with _without_collection():
        return getattr(import_module(module), name)


ALIASES = {"ls": "list", "rm": "delete"}  #: other names of commands of a group


class AliasGroup(click.Group):
    """A group in which ``ls`` means ``list`` and ``rm`` means ``delete``.

    One that lists without a command lists with the command ``list``, too.
    """

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of that name or alias, or None."""
        name = ALIASES.get(cmd_name, cmd_name)
        found = super().get_command(ctx, cmd_name) or super().get_command(ctx, name)
        if found is None and name == "list" and self.invoke_without_command:
            return click.Command(name, params=self.params, callback=self.callback, help=self.help)
        return found


class LazyGroup(click.Group):
    """A group whose commands are imported one by one.

    Args:
        modules: the object of each command, as ``MODULE:NAME``, by the name of the command.
    """

    def __init__(self, *args: Any, modules: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands, in the order in which they were given."""
        return list(self._modules)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command of that name, or None."""
        place = self._modules.get(ALIASES.get(cmd_name, cmd_name))
        if place is None:
            return None
        command: click.Command = imported(place)
        return with_paragraphs(command)


def with_paragraphs(command: click.Command) -> click.Command:
    r"""Convert the marks of paragraphs that click must not wrap.

    Click's mark is a backspace character; a raw docstring has the two characters ``\b`` instead.
    """
    command.help = (command.help or "").replace("\\b\n", "\b\n")
    for inner in getattr(command, "commands", {}).values():
        with_paragraphs(inner)
    return command


@contextmanager
def _without_collection() -> Iterator[None]:
    """Collect no garbage while the block imports, and none of what it has imported later.

    Modules live until the process ends. Going through them repeatedly, the last time at the end,
    takes a third of the processor time of a short command.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
