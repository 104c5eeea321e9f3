"""The enums under their public name. Inside this project, import ``db.schema.enums``."""

from __future__ import annotations

from db.schema.enums import *  # noqa: F403 - exactly what the module lists
from db.schema.enums import __all__ as __all__  # noqa: PLC0414 - the same list
