from __future__ import annotations

import psycopg
import pytest
import sqlalchemy.exc

from db.texts import first_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        pytest.param(ValueError("one\ntwo"), "one", id="several lines"),
        pytest.param(ValueError("\n  one \n"), "one", id="space around"),
        pytest.param(ValueError(), "ValueError", id="no text"),
        pytest.param(
            sqlalchemy.exc.OperationalError("SELECT", {}, psycopg.OperationalError("refused\nx")),
            "refused",
            id="of the driver",
        ),
    ],
)
def test_an_error_is_said_in_one_line(error: Exception, line: str) -> None:
    assert first_line(error) == line
