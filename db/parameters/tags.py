"""The tags of a build that its template computes from variables and parameters."""

from __future__ import annotations

from collections.abc import Mapping

from db.errors import WorkspaceTagError
from db.parameters.expressions import ExpressionError, Values, evaluate

MAX_TAGS = 32
"""How many tags a template may compute. A worker has fewer (``db.jobs.tags``)."""


def workspace_tags(expressions: Mapping[str, str], values: Values) -> dict[str, str]:
    """Return the tags that the expressions give.

    Raises:
        WorkspaceTagError: one cannot be evaluated, or there are too many.
    """
    if len(expressions) > MAX_TAGS:
        raise WorkspaceTagError(f"the template computes more than {MAX_TAGS} workspace tags")
    return {key: _evaluated(key, text, values) for key, text in expressions.items()}


def _evaluated(key: str, expression: str, values: Values) -> str:
    try:
        return evaluate(expression, values)
    except ExpressionError as error:
        raise WorkspaceTagError(
            f'failed to evaluate workspace tag "{key}" value {expression[:200]}: {error}'
        ) from error
