"""Templates of common shapes, pushed and built by a real worker: what is stored of each.

``shapes/NAME.txt`` says it for the template ``tests/templates/NAME``. The documentation's table of
shapes (docs/templates.md) is made from the same facts.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from cli.main import cli
from tests.harness.cluster import Cluster
from tests.harness.installation import new_cluster
from tests.harness.providers import install_providers
from tests.harness.stored import resource_lines, version_lines
from worker.embedded import Embedded

TEMPLATES = Path(__file__).parents[1] / "templates"
EXPECTED = Path(__file__).parent / "shapes"
LIMIT_S = 300

PUSHED: Mapping[str, tuple[str, ...]] = {"kubernetes": ("--variable", "namespace=dev")}
CHOSEN: Mapping[str, tuple[str, ...]] = {"kubernetes": ("--param", "region=eu")}
TAGS = "network=inner"  # of the template external-auth
FACTS = Path(__file__).parent / "facts"
ACCESS_URL = "https://coder.example.com:8443"


@dataclass(frozen=True, kw_only=True)
class Site:
    """An installation with a worker, used by its command line."""

    cluster: Cluster

    def __call__(self, *arguments: str) -> Any:
        """Run a command to its end; return the document that it printed."""
        environment = {
            f"PROVISIONERD_{key}": value for key, value in self.cluster.services().items()
        }
        done = CliRunner(env=environment).invoke(cli, [*arguments, "--output", "json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def build(self, verb: str, name: str, *options: str) -> uuid.UUID:
        """Build a workspace; return the job."""
        owner = ("--owner", self.cluster.owner.username)
        return uuid.UUID(self("workspace", verb, name, *owner, *options)["job_id"])

    def imported(self, name: str) -> Iterator[str]:
        """Yield what the import of a template's active version stored."""
        with self.cluster.database.begin() as session:
            version_id, job_id = session.execute(
                text("""
                    SELECT version.id, version.job_id
                    FROM templates AS template
                    JOIN template_versions AS version ON version.id = template.active_version_id
                    WHERE template.name = :name
                """),
                {"name": name},
            ).one()
            yield "# version"
            yield from version_lines(session, version_id)
            for transition in ("start", "stop"):
                yield f"# import, {transition}"
                yield from resource_lines(session, job_id, transition)

    def built(self, job_id: uuid.UUID, transition: str) -> Iterator[str]:
        """Yield what a build stored."""
        yield f"# {transition}"
        with self.cluster.database.begin() as session:
            yield from resource_lines(session, job_id, transition)

    def told(self, job_id: uuid.UUID) -> dict[str, str]:
        """Return what the template ``facts`` was told in a build."""
        with self.cluster.database.begin() as session:
            rows = session.execute(
                text("""
                    SELECT item.key, item.value
                    FROM workspace_resource_metadata AS item
                    JOIN workspace_resources AS resource
                      ON resource.id = item.workspace_resource_id
                    WHERE resource.job_id = :id
                """),
                {"id": job_id},
            )
            return {row.key: row.value for row in rows}


@pytest.fixture(scope="module")
def site(
    embedded: Embedded, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    mirror = install_providers(tmp_path_factory.mktemp("mirror"))
    with new_cluster(embedded, template_database, mirror) as cluster:
        cluster.start_worker(access_url=ACCESS_URL)
        cluster.start_worker("tagged", tags=TAGS)
        assert cluster.owner
        yield Site(cluster=cluster)


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.parametrize("name", sorted(path.name for path in TEMPLATES.iterdir()))
def test_a_template_of_a_common_shape_is_stored_as_it_is(site: Site, name: str) -> None:
    site("template", "push", str(TEMPLATES / name), "--name", name, *PUSHED.get(name, ()))
    lines = list(site.imported(name))
    start = site.build("create", name, "--template", name, *CHOSEN.get(name, ()))
    # A row of an app belongs to the newest build, so it is read before the next one.
    lines += site.built(start, "start")
    lines += site.built(site.build("stop", name), "stop")
    lines += site.built(site.build("delete", name), "delete")
    assert "\n".join(lines) + "\n" == (EXPECTED / f"{name}.txt").read_text()


@pytest.mark.timeout(LIMIT_S)
def test_a_template_is_told_who_builds_what(site: Site) -> None:
    site("template", "push", str(FACTS), "--name", "facts")
    job_id = site.build("create", "box", "--template", "facts", "--param", "size=3")
    assert site.told(job_id) == {
        "access_url": ACCESS_URL,
        "access_port": "8443",
        "workspace": "box",
        "transition": "start",
        "template": "facts",
        "template_version": "v1",
        "owner": site.cluster.owner.username,
        "groups": "Everyone",
        "login_type": "password",
        "session_token": "",
        "size": "3",
        "fetches_agent": "true",
    }
