"""Values from files and standard input: what is on a command line, all users of a host can read."""

from __future__ import annotations

import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import click

from cli.options import to_mapping
from db.errors import InvalidError

MAX_FILE_BYTES = 16 * 1024 * 1024
STDIN = "-"
FROM_FILE = "@"
_IS_TAKEN = f"{__name__}.is_taken"  # in what the contexts of click share


def to_values(
    context: click.Context, parameter: click.Parameter, pairs: Sequence[str]
) -> dict[str, str]:
    """Return NAME=VALUE pairs as a mapping. ``NAME=@FILE`` takes the value from a file.

    ``NAME=@-`` takes it from standard input, and ``NAME=@@text`` is the value ``@text``. The line
    end of the file's last line is left out.

    Raises:
        click.BadParameter: a value is not a pair, a name is given twice, or a file cannot be read.
    """
    values = to_mapping(context, parameter, pairs)
    try:
        return {name: _value(value) for name, value in values.items()}
    except InvalidError as error:
        raise click.BadParameter(str(error), param=parameter) from error


def _value(text: str) -> str:
    if not text.startswith(FROM_FILE):
        return text
    source = text.removeprefix(FROM_FILE)
    if source.startswith(FROM_FILE):
        return source
    try:
        return _read(Path(source)).decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise InvalidError(f"{source} is not UTF-8 text") from error
    except InvalidError as error:
        raise InvalidError(f"{error}; write @@ for a value that begins with @") from error


def read_values(path: Path) -> dict[str, str]:
    """Return the values in a file as texts, as Terraform and Coder write them.

    Args:
        path: of a JSON or TOML (``*.toml``) file; ``-`` is standard input, as JSON.

    Raises:
        InvalidError: it cannot be read, or a value is not a text, number, boolean or list of texts.
    """
    data = _read(path)
    try:
        document = tomllib.loads(data.decode()) if path.suffix == ".toml" else json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise InvalidError(f"{path} must hold an object: values by their names")
    return {name: _as_text(path, name, value) for name, value in document.items()}


def standard_input() -> BinaryIO:
    """Return standard input, once for each command: a second reader would find it empty.

    Raises:
        click.UsageError: the command has asked for it before.
    """
    meta = click.get_current_context().meta
    if _IS_TAKEN in meta:
        raise click.UsageError("standard input can be read once: name files for the other values")
    meta[_IS_TAKEN] = True
    return sys.stdin.buffer


def _read(path: Path) -> bytes:
    try:
        if str(path) == STDIN:
            data = standard_input().read(MAX_FILE_BYTES + 1)
        else:
            with path.open("rb") as file:
                data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InvalidError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MAX_FILE_BYTES:
        raise InvalidError(f"{path} has more than {MAX_FILE_BYTES} bytes")
    return data


def _as_text(path: Path, name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    is_list = isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool | int | float) or is_list:
        return json.dumps(value, ensure_ascii=False)
    raise InvalidError(
        f"{path}: the value of {name!r} must be a text, a number, a boolean or a list of texts"
    )
