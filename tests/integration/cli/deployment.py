"""A server of the API with something of everything, and command lines with and without it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from db.catalog.people import set_site_roles
from db.catalog.tokens import create_token
from db.engine import Database
from db.schema.enums import JobErrorCode, JobStatus
from db.schema.roles import SiteRole
from db.schema.tables import Organization, User
from tests.harness.api.serving import served
from tests.harness.databases import copied_database, database_url_of, opened_database
from tests.harness.factory import Factory
from tests.harness.threadworker import sign_on
from tests.integration.cli.commandline import CommandLine, age_workers
from worker.embedded import Embedded

# Hours ago, so that no age changes while a test runs.
EARLIER = """
    SET LOCAL session_replication_role = replica;
    UPDATE provisioner_jobs SET created_at = created_at - interval '210 min',
                                started_at = started_at - interval '205 min',
                                completed_at = completed_at - interval '200 min';
    UPDATE workspace_builds SET created_at = created_at - interval '210 min';
    UPDATE template_versions SET created_at = created_at - interval '210 min';
    INSERT INTO circuits (template_version_id, reason, failures, last_failed_at)
        SELECT id, 'apply', 2, now() - interval '210 min' FROM template_versions;
    UPDATE api_tokens SET created_at = created_at - interval '210 min',
                          last_used_at = now() + interval '1 hour';
"""


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A server, the command line of its database, and what they have."""

    local: CommandLine
    url: str
    tokens: Mapping[str, str]  #: by the name of the user
    known: Mapping[str, str]  #: the ids of jobs

    def remote(self, username: str) -> CommandLine:
        """The command line of a user of the server, who has no database."""
        return self.sending(self.tokens[username])

    def sending(self, token: str) -> CommandLine:
        """A command line with this token."""
        theirs = {**self.local.environment, "PROVISIONERD_TOKEN": token}
        for name in ("DATABASE_URL", "REDIS_URL", "DATA_DIR"):
            theirs[f"PROVISIONERD_{name}"] = None
        return CommandLine({**theirs, "PROVISIONERD_URL": self.url})


@contextmanager
def deployed(embedded: Embedded, template_database: str, folder: Path) -> Iterator[Deployment]:
    """A deployment with the owner ada, and the members alice and bob."""
    assert embedded.redis_url is not None
    with copied_database(embedded, template_database) as name:
        url = database_url_of(embedded, name)
        with opened_database(url) as database:
            local = CommandLine(
                {
                    **{each: None for each in os.environ if each.startswith("PROVISIONERD_")},
                    "PROVISIONERD_CONFIG": str(folder / "config.toml"),
                    "PROVISIONERD_DATABASE_URL": url,
                    "PROVISIONERD_REDIS_URL": embedded.redis_url,
                    "PROVISIONERD_DATA_DIR": str(folder / "data"),
                }
            )
            made = fill(database, local)
            with served(database, redis_url=embedded.redis_url) as (server_url, _site):
                yield Deployment(local=local, url=server_url, tokens=made[0], known=made[1])


def fill(database: Database, run: CommandLine) -> tuple[dict[str, str], dict[str, str]]:
    """Make something of everything; return the users' tokens and the ids of jobs."""
    factory = Factory(database=database)
    home = factory.organization(name="default", everyone_allowance=10)
    people = {
        name: factory.user(organization=home, username=name) for name in ("ada", "alice", "bob")
    }
    with database.begin() as session:
        set_site_roles(session, session.get_one(User, people["ada"].id), [SiteRole.OWNER])
    factory.group(organization=home, allowance=40, members=[people["alice"]], name="gpu")
    jobs = _builds(factory, people, home)
    sign_on(database, "gone")
    age_workers(database)
    sign_on(database, "gpu-1", {"gpu": "a100"})
    for words in (
        "workspace delete alice/old --orphan --as alice",
        "webhook create https://example.com/hook --user ada --as ada",
        "queue pause builds --reason upgrade --as ada",
    ):
        assert run(*words.split()).exit_code == 0
    with database.begin() as session:
        tokens = {
            name: create_token(session, user_id=user.id).text for name, user in people.items()
        }
        session.execute(text(EARLIER))
    return tokens, jobs


def _builds(factory: Factory, people: Mapping[str, User], home: Organization) -> dict[str, str]:
    alice, bob = people["alice"], people["bob"]
    template = factory.template(organization=home, created_by=people["ada"], name="dev")
    factory.workspace(owner=alice, template=template, name="old")
    box = factory.workspace(owner=alice, template=template, name="box")
    job = factory.running_build(box)
    factory.write_lines(job, "one", "zwei \x1b[31mänd", "three")
    factory.finish(job)
    failed = factory.finished_build(
        factory.workspace(owner=bob, template=template, name="train"),
        status=JobStatus.FAILED,
        error_code=JobErrorCode.INSUFFICIENT_QUOTA,
    )
    factory.running_build(factory.workspace(owner=bob, template=template, name="lab"))
    pending = factory.build(box)
    return {"job": str(job.id), "failed": str(failed.id), "pending": str(pending.job_id)}
