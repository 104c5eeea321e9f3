"""The environment variables of the settings: their names, and which of them are set."""

from __future__ import annotations

import difflib
from collections.abc import Container, Iterable, Mapping, Sequence

from worker.broker.secretfile import FILE_SUFFIX, PREFIX, find_secret

SECRETS = ("database_url", "redis_url", "build_hook_secret")
"""Settings that may be in a file, which another variable names; keys have a setting for that."""
CREDENTIALS = (*SECRETS, "encryption_keys")
"""Settings that may be credentials of systemd."""
OF_COMMANDS = ("owner", "organization", "context", "config", "url", "token", "token_file")
"""Variables that only the command line reads, so that they are in its environment."""


def variable_of(field: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + field.upper()


def values_of(
    fields: Iterable[str], environment: Mapping[str, str], *, may_be_empty: Container[str] = ()
) -> dict[str, str]:
    """Return the values of the settings that are set.

    Args:
        may_be_empty: fields whose empty variable is a value; any other empty variable is not set.

    Raises:
        SecretFileError: a secret is given twice, or its file cannot be read.
    """
    given = {field: environment.get(variable_of(field), "") for field in fields}
    plain = {
        field: value
        for field, value in given.items()
        if value or (field in may_be_empty and variable_of(field) in environment)
    }
    secrets = SECRETS if "encryption_keys_file" in plain else CREDENTIALS
    found = {field: find_secret(field, environment) for field in secrets}
    return plain | {field: value for field, value in found.items() if value is not None}


def problem_of_names(fields: Iterable[str], environment: Mapping[str, str]) -> str | None:
    """Return a sentence about a variable that has the prefix and is not a setting."""
    known = [variable_of(field) for field in fields]
    known += [variable_of(field) + FILE_SUFFIX for field in SECRETS]
    known += [variable_of(name) for name in OF_COMMANDS]
    unknown = (name for name in environment if name.startswith(PREFIX) and name not in known)
    return next((_no_setting(name, known) for name in unknown), None)


def _no_setting(name: str, known: Sequence[str]) -> str:
    similar = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {similar[0]}?" if similar else ""
    return f"there is no setting {name}{hint}"
