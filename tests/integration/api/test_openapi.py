"""The API against its OpenAPI document: no answer that it does not describe, and no 500."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    response_schema_conformance,
    status_code_conformance,
)

from db.schema.tables import User
from tests.harness.api.document import read_document
from tests.harness.api.door import Door

EXAMPLES = 4  #: for each operation
CHECKS = (not_a_server_error, status_code_conformance, response_schema_conformance)
DOCUMENT = read_document()
OPERATIONS = [
    (method.upper(), path) for path, found in DOCUMENT["paths"].items() for method in found
]
schemathesis.serializer.alias("application/x-tar", "application/octet-stream")
ENDLESS = {"/api/v2/workspaces/{workspace}/watch"}  #: a stream goes on until the client leaves


def operations() -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(DOCUMENT)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok)
        if (operation := result.ok()).path not in ENDLESS:
            yield operation


def test_every_answer_is_one_that_the_document_describes(
    door: Door, owner: User, known: Mapping[str, str]
) -> None:
    token = door.token(owner)
    headers = {"Coder-Session-Token": token}
    asked = 0
    wrong = []
    for operation in operations():

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def answers(case: Any) -> None:
            nonlocal asked
            asked += 1
            for name in case.path_parameters or {}:
                if name in known and asked % 2:
                    case.path_parameters[name] = known[name]
            response = case.call(base_url=door.url, headers=headers)
            case.validate_response(response, checks=CHECKS)

        try:
            answers()
        except Exception as error:  # noqa: BLE001 - all of them are shown together
            wrong.append(f"{operation.label}: {error}")
    assert wrong == [], "\n".join(wrong)
    assert asked >= len(OPERATIONS) - len(ENDLESS)


def test_the_document_is_valid_openapi() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    for found in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(found)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_an_operation_explains_itself(method: str, path: str) -> None:
    operation = DOCUMENT["paths"][path][method.lower()]
    assert operation["description"]
    assert operation["responses"]["404"] == {"$ref": "#/components/responses/404"}
