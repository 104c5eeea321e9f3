"""The outline of the commands, from which shells complete words (see ``cli.outline``)."""

from __future__ import annotations

import json
from collections.abc import Iterator

import click

from cli.main import COMMANDS, cli
from cli.outline import describe


def document() -> str:
    """Return the outline as JSON, a command on each line."""
    context = click.Context(cli)
    entries = [
        f"{json.dumps(path)}: {json.dumps(describe(path, command), ensure_ascii=False)}"
        for name in COMMANDS
        for path, command in _commands(name, cli.get_command(context, name))
    ]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _commands(path: str, command: click.Command | None) -> Iterator[tuple[str, click.Command]]:
    assert command is not None
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from _commands(f"{path} {name}", command.get_command(context, name))
