"""The OpenAPI document of the API: errors in one place, tokens, and short names of operations."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.sentences import HIDDEN

DESCRIPTION = """\
Workspace builds, by an API that follows Coder's. Times are RFC 3339 in UTC. A field without a
value is left out. Every error has the same form, `Message`; what a caller may not see answers with
404.
"""
ERRORS = {
    "400": "A value is not allowed.",
    "401": "There is no valid token, or its user is not active.",
    "403": "The caller may not do this.",
    "404": "There is no such thing, or the caller may not see it.",
    "409": "The stored data does not allow it now.",
    "413": "The body is too large.",
    "429": "The token has sent too many requests, or has too many open streams.",
    "503": "The database cannot be reached.",
    "default": "Any other error.",
}
EXAMPLE = {"message": HIDDEN}
PUBLIC = {
    "/healthz",
    "/api/v2",
    "/api/v2/buildinfo",
    "/api/v2/entitlements",
    "/api/v2/experiments",
    "/api/v2/experiments/available",
    "/api/v2/updatecheck",
    "/api/v2/users/authmethods",
    "/api/v2/users/first",
    "/api/v2/users/login",
}


def operation_id(route: APIRoute) -> str:
    """Return the name of an operation: that of the function, within its module."""
    return f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"


def document_of(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of the application."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        description=DESCRIPTION,
        routes=app.routes,
        separate_input_output_schemas=False,
    )
    components = document["components"]
    components["responses"] = {name: _error(text) for name, text in ERRORS.items()}
    components["securitySchemes"] = {
        "token": {"type": "apiKey", "in": "header", "name": "Coder-Session-Token"},
        "bearer": {"type": "http", "scheme": "bearer"},
    }
    for name in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(name, None)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            _complete(path, operation)
    return document


def _error(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Message"}
    return {
        "description": text,
        "content": {"application/json": {"schema": schema, "example": EXAMPLE}},
    }


def _complete(path: str, operation: dict[str, Any]) -> None:
    # What cannot be validated is a 400 here, not FastAPI's 422.
    operation["responses"].pop("422", None)
    for response in operation["responses"].values():
        content = response.get("content", {})
        for media in [media for media in content if ";" in media]:
            content[media.partition(";")[0]] = content.pop(media)
    for name in ERRORS:
        operation["responses"].setdefault(name, {"$ref": f"#/components/responses/{name}"})
    operation["security"] = [] if path in PUBLIC else [{"token": []}, {"bearer": []}]
