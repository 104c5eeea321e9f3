from __future__ import annotations

import logging
import sys

import psycopg
import pytest
import redis

from worker.process.telemetry import shorten_outage


def record_of(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except type(error):
        return logging.LogRecord(
            "library", logging.ERROR, "x.py", 1, "it broke: %s", ("here",), sys.exc_info()
        )


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(psycopg.OperationalError("the server is away\nmore"), id="PostgreSQL"),
        pytest.param(redis.ConnectionError("the server is away"), id="Redis"),
    ],
)
def test_a_record_about_an_outage_is_one_line(error: Exception) -> None:
    record = record_of(error)

    assert shorten_outage(record)

    assert record.exc_info is None
    name = type(error).__name__
    assert record.getMessage() == f"it broke: here ({name}: the server is away)"


def test_a_bug_keeps_its_traceback() -> None:
    record = record_of(ValueError("a bug"))

    assert shorten_outage(record)

    assert record.exc_info is not None
    assert record.getMessage() == "it broke: here"
