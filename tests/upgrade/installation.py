"""An installation of the last released version, on its way to this one."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from db.schema.enums import Transition
from tests.harness.cluster import DEPLOY, Cluster, environment_of
from tests.harness.releases import CURRENT, Release, Version

COMMAND_S = 60
ALLOWANCE = "100000"
OWNER = "alice"
# Every name of this is public: it runs with any version.
SERVICE = """
import os, sys, uuid
import sqlalchemy, sqlalchemy.orm
from db.enums import Transition
from worker.enqueue import enqueue_build

engine = sqlalchemy.create_engine(os.environ["PROVISIONERD_DATABASE_URL"])
for line in sys.stdin:
    workspace, transition = line.split()
    with sqlalchemy.orm.Session(engine) as session, session.begin():
        build = enqueue_build(
            session, workspace_id=uuid.UUID(workspace), transition=Transition(transition)
        )
    print(build.job_id, flush=True)
"""


class ServiceError(Exception):
    """A service has ended instead of enqueueing; the message is what it said."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """A program of somebody else, which enqueues builds with one version of our package."""

    process: subprocess.Popen[str]
    log: Path

    def enqueue(self, workspace_id: uuid.UUID, transition: Transition) -> uuid.UUID:
        """Enqueue a build and return its job.

        Raises:
            ServiceError: the call raised.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{workspace_id} {transition}\n")
        self.process.stdin.flush()
        if not (answer := self.process.stdout.readline()):
            raise ServiceError(self.log.read_text())
        return uuid.UUID(answer.strip())


@dataclass(kw_only=True)
class Installation:
    """Everything is made by the released version's own commands, on its own schema."""

    cluster: Cluster
    release: Release
    services: ExitStack = field(default_factory=ExitStack)
    templates: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.run(self.release, "organization", "create", "upgraded", "--allowance", ALLOWANCE)
        self.run(self.release, "user", "create", OWNER)

    def call(self, version: Version, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of ``provisionerd``."""
        return subprocess.run(
            version.command(*arguments),
            env=environment_of(self.cluster.services()),
            cwd=self.cluster.directory,
            check=False,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
        )

    def run(self, version: Version, *arguments: str) -> str:
        """Run a command that succeeds, and return its output."""
        done = self.call(version, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def migrate(self) -> None:
        self.run(CURRENT, "migrate")
        # The tests select ``*``, whose prepared statements do not outlive a new column.
        self.cluster.database.dispose()

    def create(self, template: str, **variables: object) -> tuple[uuid.UUID, uuid.UUID]:
        """Create a workspace and start it; return its id and that of the job."""
        created = self.run(
            self.release,
            *("workspace", "create", f"box-{uuid.uuid4().hex[:8]}", f"--owner={OWNER}"),
            *(f"--template={self._template(template, **variables)}", "--detach", "--output=json"),
        )
        job_id = uuid.UUID(json.loads(created)["job_id"])
        return self.cluster.row(job_id)["workspace"], job_id

    def service(self, version: Version) -> Service:
        """Start a service that enqueues; it runs as long as the installation does."""
        log = self.cluster.directory / f"service-{version.name}-{uuid.uuid4().hex[:8]}.log"
        with log.open("w") as errors:
            process: subprocess.Popen[str] = subprocess.Popen(
                [version.python, "-c", SERVICE],
                env=environment_of(self.cluster.services()),
                cwd=self.cluster.directory,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        # Leaving it closes its standard input, which ends it, and waits.
        self.services.enter_context(process)
        return Service(process=process, log=log)

    def logs(self) -> dict[str, str]:
        """What each worker and service has logged, by the name of its file."""
        found = sorted(self.cluster.directory.glob("*.log"))
        return {path.name: path.read_text(errors="replace") for path in found}

    def _template(self, name: str, **variables: object) -> str:
        key = f"{name}-{len(variables)}-{'-'.join(str(value) for value in variables.values())}"
        if key not in self.templates:
            given = {"ledger_dir": self.cluster.ledger, **variables}
            self.run(
                self.release,
                *("template", "push", str(DEPLOY / "templates" / name)),
                *(f"--name={name}{len(self.templates)}", f"--author={OWNER}"),
                *(f"--variable={variable}={value}" for variable, value in given.items()),
            )
            self.templates[key] = f"{name}{len(self.templates)}"
        return self.templates[key]


@contextmanager
def installed(cluster: Cluster, release: Release) -> Iterator[Installation]:
    """An installation without workers yet, on the cluster's empty released schema."""
    installation = Installation(cluster=cluster, release=release)
    with installation.services:
        yield installation
