"""The forms of the live page."""

from __future__ import annotations

import re

import httpx


def csrf_in(page: httpx.Response) -> str:
    """Return the token that the forms of a page send with them."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found is not None
    return found[1]
