"""The OpenAPI document of the HTTP API, from its routes."""

from __future__ import annotations

import importlib.util
import json
from typing import Any


def document() -> str:
    """Return the document as it is committed."""
    return json.dumps(schema(), indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def is_current(text: str) -> bool:
    """Return whether the committed document is what the routes say.

    Without the extra ``api`` nobody can have changed a route and tried it, so it counts as current.
    """
    return not is_installed() or text == document()


def is_installed() -> bool:
    """Return whether the packages of the HTTP API are installed."""
    return importlib.util.find_spec("fastapi") is not None


def schemas(reference: str) -> dict[str, Any]:
    """Return the JSON schema of each body, by name.

    Args:
        reference: the form of a reference to ``{model}``.
    """
    found = json.dumps(schema()["components"]["schemas"])
    prefix = reference.partition("{model}")[0]
    parsed: dict[str, Any] = json.loads(found.replace("#/components/schemas/", prefix))
    return {name: _untitled(one) for name, one in sorted(parsed.items())}


def _untitled(value: Any) -> Any:
    """Return a schema without titles: each would become a type of its own."""
    if isinstance(value, list):
        return [_untitled(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _untitled(item)
        for key, item in value.items()
        if key != "title" or not isinstance(item, str)
    }


def schema() -> dict[str, Any]:
    """Return the OpenAPI document."""
    from api.app import make_app  # noqa: PLC0415 - an extra
    from api.site import Site  # noqa: PLC0415
    from api.streams.hub import Hub  # noqa: PLC0415
    from db.engine import open_database  # noqa: PLC0415

    # Nothing connects to it.
    database = open_database("postgresql://nobody@localhost/nothing")
    return make_app(Site(database=database, redis_url=None, hub=Hub(database))).openapi()
