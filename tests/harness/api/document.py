"""The OpenAPI document of the API, as it is committed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PATH = Path(__file__).parents[3] / "docs/reference/httpapi.json"


def read_document() -> Any:
    """Return the document. It is current: ``docs/generate.py --check`` says so.

    Making it takes half a second, in each process that collects tests.
    """
    return json.loads(PATH.read_text(encoding="utf-8"))
