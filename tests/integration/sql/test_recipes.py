"""Programs of other libraries enqueue builds in transactions of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from sqlalchemy import text

from db.engine import Database
from tests.harness.databases import tcp_url_of
from tests.harness.factory import Factory
from worker.embedded import Embedded

ROOT = Path(__file__).parents[3]
INSTALLED = ROOT / "build" / "recipes"
PYTHON = INSTALLED / "bin" / "python"
# These need no library that we do not have.
ALWAYS = ("psycopg_alone.py", "sqlalchemy_async.py")
RECIPES = sorted(path.name for path in (ROOT / "recipes").glob("*_*.*") if path.suffix != ".json")


def command(recipe: str) -> list[str]:
    """Return the command line of a recipe, or skip where its library is missing."""
    if recipe in ALWAYS:
        return [sys.executable, str(ROOT / "recipes" / recipe)]
    node = shutil.which("node")
    if recipe.endswith(".mjs"):
        if node is None or not (INSTALLED / "node_modules" / "pg").exists():
            pytest.skip("node-postgres is not installed: run make recipes")
        return [node, str(INSTALLED / recipe)]
    if not PYTHON.exists():
        pytest.skip("the libraries of the recipes are not installed: run make recipes")
    return [str(PYTHON), str(ROOT / "recipes" / recipe)]


@pytest.fixture
def url(embedded: Embedded, database: Database) -> str:
    with database.begin() as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS orders (what text)"))
        session.execute(text("TRUNCATE orders"))
    name = database.engine.url.database
    assert name is not None
    return tcp_url_of(embedded, name).replace("+psycopg", "")


def run(recipe: str, url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command(recipe), *arguments],
        env={"PATH": os.environ["PATH"], "DATABASE_URL": url, "PGPASSFILE": "/dev/null"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def counts(database: Database) -> tuple[int, int]:
    """Return how many orders and builds there are."""
    with database.begin() as session:
        row = session.execute(
            text("SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM workspace_builds)")
        ).one()
    return row[0], row[1]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_build_exists_when_the_transaction_has_committed(
    factory: Factory, url: str, recipe: str
) -> None:
    workspace = factory.any_workspace()
    undone = run(recipe, url, str(workspace.id), "--roll-back")
    assert (undone.returncode, counts(factory.database)) == (0, (0, 0)), undone.stderr
    done = run(recipe, url, str(workspace.id))
    assert (done.returncode, counts(factory.database)) == (0, (1, 1)), done.stderr
    job_id, queue = done.stdout.split()
    job = factory.claim()
    assert job is not None
    assert (str(job.lease.job_id), queue) == (job_id, "builds")


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_refusal_undoes_the_transaction_and_says_why(
    factory: Factory, url: str, recipe: str
) -> None:
    missing = uuid.uuid4()
    refused = run(recipe, url, str(missing))
    assert (refused.returncode, counts(factory.database)) == (1, (0, 0))
    assert f"there is no workspace {missing}" in refused.stderr
