"""PgBouncer stumbles in each of its modes while a build is held in each stage.

Every trouble is tried by `make pooler` (tests/pooler); these are a few of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.held import Held, held_builds
from tests.harness.pgbouncer import find_pgbouncer
from tests.harness.troubles import Trouble, pooler_restarts, postgresql_restarts, strike

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.skipif(find_pgbouncer() is None, reason="needs PgBouncer (Debian: pgbouncer)"),
]


@pytest.fixture(scope="module", params=["transaction", "session"])
def held(request: pytest.FixtureRequest, cli_config: Path) -> Iterator[Held]:
    """A worker for each stage, behind a PgBouncer."""
    with held_builds(request.param, cli_config) as held:
        yield held


@pytest.mark.parametrize("trouble", [pooler_restarts, postgresql_restarts])
def test_a_short_trouble_fails_no_build_of_any_stage(held: Held, trouble: Trouble) -> None:
    strike(held, trouble, seconds=2)

    assert held.problems() == []
