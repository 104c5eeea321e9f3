"""A plugin of pytest for one trial: lends it servers that run, and orders the tests."""

from __future__ import annotations

import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest

PLAN = "PROVISIONERD_MUTANTS_PLAN"


@functools.cache
def plan() -> Any:
    """What the trial is to do: see ``trials``."""
    return json.loads(Path(os.environ[PLAN]).read_text())


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[object], request: Any) -> object:
    """Answer for the fixtures of the servers; None leaves a fixture to pytest."""
    lent = plan()["lent"].get(fixturedef.argname)
    if lent is None:
        return None
    if fixturedef.argname == "embedded":
        from worker.embedded import Embedded  # noqa: PLC0415 - the mutated code, not ours

        lent = Embedded(**lent)
    fixturedef.cached_result = (lent, fixturedef.cache_key(request), None)
    return lent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests first that have noticed most mutants of this module so far."""
    rank = {name: place for place, name in enumerate(plan()["first"])}
    items.sort(key=lambda item: rank.get(item.nodeid, len(rank)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note the first test that fails."""
    if report.failed and not (noted := Path(plan()["report"])).exists():
        noted.write_text(report.nodeid)
