"""The expressions in ``data "coder_workspace_tags"``, which a build's tags are computed from."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from provisioner.engines.terraform.hcl import TemplateError


def tags_of(
    blocks: Iterable[Mapping[str, Any]], is_literal: Callable[[object], bool]
) -> dict[str, str]:
    """Return the expressions in HCL, by the key of the tag.

    Args:
        blocks: the bodies of the data sources.
        is_literal: whether a text that was read is a literal of the files, and not an expression.

    Raises:
        TemplateError: ``tags`` is not a map of literal keys, or a key is defined twice.
    """
    tags: dict[str, str] = {}
    for block in blocks:
        for key, value in _tags(block).items():
            if key in tags:
                raise _error(f'workspace tag "{key}" is defined multiple times')
            if "${" in key or key.startswith("("):
                raise _error(f"the key {key} of a workspace tag is not a literal")
            tags[key] = _expression(value, is_literal)
    return tags


def _tags(block: Mapping[str, Any]) -> Mapping[str, Any]:
    if "tags" not in block:
        raise _error('"tags" attribute is required by coder_workspace_tags')
    if not isinstance(block["tags"], dict):
        raise _error('"tags" attribute is expected to be a key-value map')
    return block["tags"]


def _expression(value: object, is_literal: Callable[[object], bool]) -> str:
    """Return the expression of a value: the reader drops the quotes of texts."""
    if not isinstance(value, str):
        return json.dumps(value)
    if "${" in value or is_literal(value):
        return json.dumps(value, ensure_ascii=False)
    return value


def _error(message: str) -> TemplateError:
    return TemplateError(f"can't load workspace tags: {message}")
