"""The released version's own tests of its statements, on the schema of this version."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from db.schema import revision
from tests.harness.releases import MIGRATIONS, STATEMENTS, Release

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def sources(release: Release, tmp_path: Path) -> Path:
    """The released version's sources with the migrations of this one."""
    folder = tmp_path / "sources"
    shutil.copytree(release.sources, folder)
    home = (folder / MIGRATIONS).parent
    for migration in (revision.MIGRATIONS / "versions").glob("[0-9]*.py"):
        if not (folder / MIGRATIONS / migration.name).exists():
            source = migration.read_text().replace("db.schema.migrations", "db.migrations")
            (folder / MIGRATIONS / migration.name).write_text(source)
    # What the migrations read and import. The copied ones alone make the schema, under the
    # released name of the table of revisions.
    shutil.copytree(revision.MIGRATIONS / "functions", home / "functions")
    shutil.copy(revision.MIGRATIONS / "statements.py", home)
    return folder


def test_the_released_statements_work_on_this_schema(release: Release, sources: Path) -> None:
    done = subprocess.run(
        [release.python, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", *STATEMENTS],
        cwd=sources,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
