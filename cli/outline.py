"""The outline of all commands, which completion reads instead of importing them.

``docs/generate.py`` writes ``outline.json`` from the commands themselves: for each, its summary and
its parameters. A shell that completes a word gets stand-ins with the same names and values.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

FILE = Path(__file__).with_name("outline.json")
Outline = Mapping[str, Mapping[str, Any]]


def stand_in(name: str) -> click.Command:
    """Return a command with the parameters and the commands of the one of that name."""
    outline: Outline = json.loads(FILE.read_text(encoding="utf-8"))
    return _command(outline, name)


def describe(command: click.Command) -> dict[str, object]:
    """Return the entry of a command in the outline."""
    return {
        "help": command.get_short_help_str(100),
        "group": isinstance(command, click.Group),
        "params": [_description(parameter) for parameter in command.params],
    }


def _command(outline: Outline, path: str) -> click.Command:
    entry = outline[path]
    name = path.rpartition(" ")[2]
    params = [_parameter(**given) for given in entry["params"]]
    if not entry["group"]:
        return click.Command(name, params=params, help=entry["help"])
    inner = [one for one in outline if one.rpartition(" ")[0] == path]
    commands = [_command(outline, one) for one in inner]
    return click.Group(name, params=params, help=entry["help"], commands=commands)


def _description(parameter: click.Parameter) -> dict[str, object]:
    kind = parameter.type
    found: dict[str, object] = {
        "names": [*parameter.opts, *parameter.secondary_opts],
        "is_flag": getattr(parameter, "is_flag", False) or None,
        "multiple": parameter.multiple or None,
        "nargs": parameter.nargs if parameter.nargs != 1 else None,
        "choices": list(kind.choices) if isinstance(kind, click.Choice) else None,
        "is_path": isinstance(kind, click.Path | click.File) or None,
        "help": getattr(parameter, "help", None),
    }
    return {key: value for key, value in found.items() if value is not None}


def _parameter(
    *,
    names: Sequence[str],
    choices: Sequence[str] | None = None,
    is_path: bool = False,
    nargs: int = 1,
    **option: Any,
) -> click.Parameter:
    kind = click.Choice(choices) if choices else click.Path() if is_path else click.STRING
    if names[0].startswith("-"):
        return click.Option(names, type=None if option.get("is_flag") else kind, **option)
    return click.Argument(names, type=kind, nargs=nargs)
