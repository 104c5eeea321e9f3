"""Workspace tags that only Terraform can evaluate, but that are the same for every build."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from db.parameters.expressions import ExpressionError, Values, evaluate

# A name that something is taken from: the `var` of `var.zone`, the `local` of `local.zones[0]`.
_ROOT = re.compile(r"(?<![\w.-])([A-Za-z_][\w-]*)(?=\s*[.\[])")


def settle_tags(
    expressions: Mapping[str, str], planned: Mapping[str, str], values: Values
) -> dict[str, str]:
    """Return the expressions, with the plan's value for those that builds could not evaluate.

    An expression with functions that names nothing but variables has one value for all builds of a
    version. Any other stays as it is.

    Args:
        planned: the values of the tags in the plan of the import.
    """
    return {key: _settled(text, planned.get(key), values) for key, text in expressions.items()}


def _settled(expression: str, planned: str | None, values: Values) -> str:
    try:
        evaluate(expression, values)
    except ExpressionError:
        if planned is not None and set(_ROOT.findall(expression)) <= {"var"}:
            return _literal(planned)
    return expression


def _literal(text: str) -> str:
    quoted = json.dumps(text, ensure_ascii=False)
    return quoted.replace("${", "$${").replace("%{", "%%{")
