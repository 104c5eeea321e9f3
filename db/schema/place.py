"""The schema of PostgreSQL that our tables and functions are in."""

from __future__ import annotations

import os

SETTING = "PROVISIONERD_DATABASE_SCHEMA"
FUNCTIONS = "provisionerd"
"""Where the functions are, unless the tables are in a schema of their own."""


def schema_of_tables() -> str | None:
    """Return the schema that is set for the tables; None: the first of the role's search path."""
    return os.environ.get(SETTING) or None


def search_path() -> str | None:
    """Return the search path of our connections; None: the role's own."""
    name = schema_of_tables()
    return None if name is None else quoted(name)


def schema_of_functions() -> str:
    """Return the schema of the functions, quoted for SQL."""
    name = schema_of_tables()
    return quoted(FUNCTIONS if name in {None, "public"} else str(name))


def quoted(name: str) -> str:
    """Return the name of a schema, quoted for SQL."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
