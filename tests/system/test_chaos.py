"""A short chaos: what `make chaos` plays for longer."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest

from bench.chaos import Verdict, prepared
from tests.conftest import _run_admin
from worker.embedded import Embedded

ROUNDS = 20

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def verdict(embedded: Embedded, template_database: str) -> Iterator[Verdict]:
    """What the checks found after some rounds. Set SEED to play one again."""
    name = f"test_{uuid.uuid4().hex}"
    _run_admin(embedded, f"CREATE DATABASE {name} TEMPLATE {template_database} STRATEGY FILE_COPY")
    url = f"postgresql+psycopg://postgres@127.0.0.1:{embedded.postgres_port}/{name}"
    with prepared(int(os.environ.get("SEED", "1")), embedded, url) as chaos:
        chaos.play(ROUNDS, lambda _number: None)
        yield chaos.judge()
    _run_admin(embedded, f"DROP DATABASE {name} WITH (FORCE)")


def test_no_invariant_is_broken(verdict: Verdict) -> None:
    assert verdict.problems == []


def test_builds_were_played(verdict: Verdict) -> None:
    assert verdict.builds["succeeded"] > 0
