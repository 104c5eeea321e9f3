"""The tables under their public name. Inside this project, import ``db.schema.tables``."""

from __future__ import annotations

from db.schema.tables import *  # noqa: F403 - exactly what the package lists
from db.schema.tables import __all__ as __all__  # noqa: PLC0414 - the same list
