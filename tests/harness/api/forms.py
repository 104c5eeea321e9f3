"""The forms of the live page."""

from __future__ import annotations

import re

import httpx

from db.jobs.declarations import ParameterOption, TemplateParameter

# One with options, one without a default, and a secret.
PARAMETERS = (
    TemplateParameter(
        name="disk",
        required=False,
        default="1",
        options=(ParameterOption(name="Small", value="1"), ParameterOption(name="Big", value="2")),
    ),
    TemplateParameter(name="zone", required=True, description="where it runs"),
    TemplateParameter(name="key", required=False, default="hush", sensitive=True),
)


def csrf_in(page: httpx.Response) -> str:
    """Return the token that the forms of a page send with them."""
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found is not None
    return found[1]
