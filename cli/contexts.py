"""Contexts: named sets of variables in a file, for commands whose environment lacks them."""

from __future__ import annotations

import json
import os
import re
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click

CONFIG = "PROVISIONERD_CONFIG"  #: the variable of the file; otherwise it is in ~/.config
CONTEXT = "PROVISIONERD_CONTEXT"  #: the variable of the context; otherwise it is the current one
PEOPLE = ("owner", "organization")
SERVERS = ("database_url", "database_url_file", "redis_url", "redis_url_file", "data_dir", "url")
TOKENS = ("token", "token_file")
FIELDS = (*PEOPLE, *SERVERS, *TOKENS)
SECRETS = frozenset({"database_url", "redis_url", "token"})
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, kw_only=True)
class Contexts:
    """What the file holds."""

    current: str | None = None
    named: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def get(self, name: str) -> Mapping[str, str]:
        """Return the values of a context by their fields.

        Raises:
            click.ClickException: there is no such context.
        """
        if name not in self.named:
            raise click.ClickException(
                f"there is no context {name!r}; `provisionerd context list` shows them"
            )
        return self.named[name]

    def changed(self, name: str, values: Mapping[str, str]) -> Contexts:
        """Return the contexts with these values in one of them; an empty value removes a field.

        Raises:
            click.ClickException: the name, a field or a value is not valid.
        """
        _check(name, values)
        merged = {**self.named.get(name, {}), **values}
        kept = {key: value for key, value in merged.items() if value}
        return replace(self, current=self.current or name, named={**self.named, name: kept})

    def used(self, name: str) -> Contexts:
        """Return the contexts with another current one.

        Raises:
            click.ClickException: there is no such context.
        """
        self.get(name)
        return replace(self, current=name)

    def without(self, name: str) -> Contexts:
        """Return the contexts without one of them.

        Raises:
            click.ClickException: there is no such context.
        """
        self.get(name)
        named = {other: values for other, values in self.named.items() if other != name}
        return replace(self, current=None if self.current == name else self.current, named=named)


def path() -> Path:
    """Return the path of the file, which need not exist."""
    if given := os.environ.get(CONFIG):
        return Path(given)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "provisionerd" / "config.toml"


def current_name(contexts: Contexts) -> str | None:
    """Return the name of the context that commands use, if any."""
    return os.environ.get(CONTEXT) or contexts.current


def use_current() -> None:
    """Set the variables of the current context that the environment lacks.

    An environment that names any server is used as it is: half of one and half of another would be
    neither. A token of the environment takes the place of that of the context.

    Raises:
        click.ClickException: the file cannot be read, or has no such context.
    """
    contexts = load()
    name = current_name(contexts)
    if name is None:
        return
    values = contexts.get(name)
    for each in _lacking() & values.keys():
        os.environ[_variable(each)] = values[each]


def _lacking() -> set[str]:
    """Return the fields that may be taken from the context."""
    given = {each for each in FIELDS if os.environ.get(_variable(each))}
    lacking = set(FIELDS) - given
    if any(_variable(each) in os.environ for each in SERVERS):
        lacking &= set(PEOPLE)
    return lacking - set(TOKENS) if given & set(TOKENS) else lacking


def load() -> Contexts:
    """Return the contexts of the file; none if there is no file.

    Raises:
        click.ClickException: the file cannot be read, or is not one of contexts.
    """
    try:
        text = path().read_text(encoding="utf-8")
        return _parsed(tomllib.loads(text))
    except FileNotFoundError:
        return Contexts()
    except (OSError, ValueError, TypeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise click.ClickException(f"{path()} cannot be read ({reason})") from error


def save(contexts: Contexts) -> None:
    """Write the file, readable only by its owner. It is replaced at once.

    Raises:
        click.ClickException: it cannot be written.
    """
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=file.parent, encoding="utf-8", delete=False
        ) as new:
            new.write(_text(contexts))
        Path(new.name).replace(file)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written ({error.strerror})") from error


def _variable(name: str) -> str:
    return f"PROVISIONERD_{name.upper()}"


def _check(name: str, values: Mapping[str, str]) -> None:
    if not _NAME.fullmatch(name):
        raise click.ClickException(
            f"{name!r} is not a name of a context: letters, digits, hyphens and underscores"
        )
    for each, value in values.items():
        if each not in FIELDS:
            raise click.ClickException(f"a context has no {each!r}; it has {', '.join(FIELDS)}")
        if not value.isprintable():
            raise click.ClickException(f"the value of {each} has a character that is not printable")


def _parsed(document: Mapping[str, Any]) -> Contexts:
    current, named = document.get("current"), document.get("contexts", {})
    if not isinstance(current, str | None) or not isinstance(named, dict):
        raise TypeError("`current` is a text, and `contexts` a table")
    contexts = Contexts(current=current)
    for name, values in named.items():
        if not isinstance(values, dict) or not all(isinstance(v, str) for v in values.values()):
            raise TypeError(f"the context {name!r} is not a table of texts")
        contexts = contexts.changed(name, values)
    return replace(contexts, current=current)


def _text(contexts: Contexts) -> str:
    lines = [f"current = {_quoted(contexts.current)}"] if contexts.current else []
    for name, values in contexts.named.items():
        lines += ["", f"[contexts.{name}]"]
        lines += [f"{each} = {_quoted(value)}" for each, value in values.items()]
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    # Printable texts are written in the same way in JSON and in TOML.
    return json.dumps(value, ensure_ascii=False)
