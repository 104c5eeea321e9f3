"""A whole installation for system tests: worker processes, a Redis of its own, the ledger cloud."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import text

from db.engine import Database
from db.errors import ConflictError
from db.jobs.tags import normalize_tags, queue_name
from db.jobs.transitions import cancel_job
from db.reads.states import find_build_state
from db.schema.enums import JobStatus, ProvisionerType, Stage, Transition
from db.schema.tables import Organization, Template, User
from db.sealing.keyring import VARIABLE
from provisioner.engines.terraform.declarations import read_template
from provisioner.host.archive import read_archive
from provisioner.host.packing import pack_template
from provisioner.host.recovery import processes_in
from provisioner.host.workdir import find_work_directories
from tests.harness.factory import Factory
from tests.harness.ledger import machines_of
from tests.harness.redis_server import RedisServer
from tests.harness.releases import CURRENT, Version
from tests.harness.terraform import MoodyTerraform
from tests.harness.waiting import DEADLINE_S, wait_until
from tests.harness.worker import Worker
from worker.broker.doorbell import ring_at
from worker.enqueue import enqueue_build
from worker.process.children import free_address, worker_command

REPOSITORY = Path(__file__).parents[2]
DEPLOY = REPOSITORY / "deploy"
TEMPLATES = Path(__file__).parent / "templates"

# Short, so that tests are quick; long enough for two busy cores.
TIMES = {
    "LEASE_SECONDS": "6",
    "RENEW_SECONDS": "0.5",
    "FENCE_SECONDS": "4",
    "FENCE_GRACE_SECONDS": "1",
    "SWEEP_SECONDS": "1",
    "HEARTBEAT_SECONDS": "2",
    "INTERRUPT_GRACE_SECONDS": "15",
    "DRAIN_SECONDS": "30",
}


@dataclass(kw_only=True)
class Cluster:
    """Everything that a system test needs. ``close`` ends every process."""

    directory: Path
    database: Database
    database_url: str
    redis: RedisServer
    cli_config: Path
    allowance: int = 100_000  #: of each user
    workers: list[Worker] = field(default_factory=list)
    templates: dict[str, Template] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.factory = Factory(database=self.database)
        self.ledger = self.directory / "ledger"
        self.moods = self.directory / "moods"
        self.gates = self.directory / "gates"
        for shared in (self.ledger, self.moods, self.gates):
            shared.mkdir(exist_ok=True)
            shared.chmod(0o777)  # builds of a worker that root runs have users of their own
        self.ring = ring_at(self.redis.url)

    @cached_property
    def organization(self) -> Organization:
        """Made when it is first asked for, since a schema may be older than this code."""
        return self.factory.organization(everyone_allowance=self.allowance)

    @cached_property
    def owner(self) -> User:
        return self.factory.user(organization=self.organization)

    def start_worker(
        self,
        name: str = "worker",
        *,
        wait: bool = True,
        host: str = "host",
        entry: Sequence[str] = (),
        version: Version | None = None,
        environment: Mapping[str, str] | None = None,
        **settings: object,
    ) -> Worker:
        """Start a worker process. Workers of one ``host`` share their work directories.

        Args:
            entry: what the command line begins with, to run elsewhere.
            version: of provisionerd; this one when None.
            environment: variables that are no settings.
        """
        work_dir = self.directory / host
        is_released = version is not None and version != CURRENT
        given = {
            **TIMES,
            **self.services(),
            "WORK_DIR": str(work_dir),
            "WORKER_NAME": name,
            "METRICS_ADDRESS": free_address(),
            "TERRAFORM_CLI_CONFIG_FILE": str(self.cli_config),
            "CONCURRENCY": "4",
            # The released version knows no sandbox and no keys.
            **({} if is_released else {"SANDBOX_PATHS": self._sandbox_paths(), **_keys()}),
            **{key.upper(): str(value) for key, value in settings.items()},
        }
        command = version.command("worker") if version else worker_command(name)
        worker = self.launch(name, [*entry, *command], given, environment)
        if wait:
            wait_until(worker.is_ready, f"worker {name} to become ready")
        return worker

    def _sandbox_paths(self) -> str:
        """The cloud of the tests and its provider, whose interpreter is this one."""
        written = (f"{path}:rw" for path in (self.ledger, self.moods, self.gates))
        return ",".join([*written, sys.prefix, sys.base_prefix])

    def services(self) -> Mapping[str, str]:
        """The settings that every process of this installation has."""
        return {
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis.url,
            "DATA_DIR": str(self.directory / "data"),
        }

    def launch(
        self,
        name: str,
        command: Sequence[str],
        settings: Mapping[str, str],
        environment: Mapping[str, str] | None = None,
    ) -> Worker:
        """Start a command as a worker of the cluster, with these settings and no others."""
        log = self.directory / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**environment_of(settings), **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # Not the sources: another version would import them.
                cwd=self.directory,
            )
        worker = Worker(
            name=name,
            process=process,
            address=settings["METRICS_ADDRESS"],
            log=log,
            work_dir=Path(settings["WORK_DIR"]),
        )
        self.workers.append(worker)
        return worker

    def moody_terraform(self, name: str = "terraform") -> MoodyTerraform:
        """A program that does as Terraform does, until it is told otherwise."""
        return MoodyTerraform(path=self.moods / name)

    def template(
        self, name: str, *, tags: Mapping[str, str] | None = None, **variables: object
    ) -> Template:
        """The template of deploy/ or of these tests by that name, with its variables' values."""
        key = f"{name} {tags} {sorted(variables.items())}"
        if key not in self.templates:
            own = TEMPLATES / name
            directory = own if own.exists() else DEPLOY / "templates" / name
            self.templates[key] = self._push(directory, variables, tags)
        return self.templates[key]

    def workspace(
        self,
        template: str = "machine",
        *,
        owner: User | None = None,
        tags: Mapping[str, str] | None = None,
        **variables: object,
    ) -> uuid.UUID:
        made = self.factory.workspace(
            owner=owner or self.owner, template=self.template(template, tags=tags, **variables)
        )
        return made.id

    def queue_of(self, tags: Mapping[str, str]) -> str:
        return queue_name(normalize_tags(tags))

    def enqueue(
        self, workspace_id: uuid.UUID, transition: Transition = Transition.START
    ) -> uuid.UUID:
        with self.database.begin() as session:
            return enqueue_build(
                session, workspace_id=workspace_id, transition=transition, ring=self.ring
            ).job_id

    def cancel_in_apply(self) -> JobStatus:
        """Cancel a build that has made a machine, and return how it ended.

        Its state knows every machine; the workspace is deleted again.
        """
        workspace_id = self.workspace("slow", create_seconds=60)
        job_id = self.enqueue(workspace_id)
        self.wait_for_machine(workspace_id)
        self.cancel(job_id)
        (status,) = self.finish(job_id)
        assert self.machines() == self.known_machines()
        self.build(workspace_id, Transition.DELETE)
        return status

    def cancel(self, job_id: uuid.UUID) -> None:
        with self.database.begin() as session, suppress(ConflictError):
            cancel_job(session, job_id=job_id)

    def row(self, job_id: uuid.UUID) -> Mapping[str, Any]:
        """The job, and its build if it has one, as they stand now."""
        with self.database.begin() as session:
            found = session.execute(
                text("""
                    SELECT job.*, job.job_status::text AS status, build.workspace_id AS workspace,
                           build.transition::text AS transition,
                           build.daily_cost, build.provisioner_state, build.state_serial,
                           worker.name AS worker
                    FROM provisioner_jobs AS job
                    LEFT JOIN workspace_builds AS build ON build.job_id = job.id
                    LEFT JOIN provisioner_daemons AS worker ON worker.id = job.worker_id
                    WHERE job.id = :id
                """),
                {"id": job_id},
            ).one()
        return dict(found._mapping)

    def status(self, job_id: uuid.UUID) -> JobStatus:
        return JobStatus(self.row(job_id)["status"])

    def wait_for_stage(self, job_id: uuid.UUID, stage: Stage) -> None:
        wait_until(lambda: self.row(job_id)["stage"] == stage, f"the stage {stage}")

    def wait_for_machine(self, workspace_id: uuid.UUID) -> None:
        """Wait until an apply has made something that a checkpoint knows of."""
        wait_until(lambda: self.known_machines(workspace_id), "a machine in a checkpoint")

    def finish(self, *job_ids: uuid.UUID, within_s: float = DEADLINE_S) -> list[JobStatus]:
        """Wait for the ends of the jobs."""
        wait_until(
            lambda: not any(self.status(job_id).is_active for job_id in job_ids),
            f"the ends of {len(job_ids)} jobs",
            within_s=within_s,
        )
        return [self.status(job_id) for job_id in job_ids]

    def build(
        self, workspace_id: uuid.UUID, transition: Transition = Transition.START
    ) -> Mapping[str, Any]:
        """Run a build to its end and return its row."""
        job_id = self.enqueue(workspace_id, transition)
        self.finish(job_id)
        return self.row(job_id)

    def log_of(self, job_id: uuid.UUID) -> str:
        with self.database.begin() as session:
            lines = session.scalars(
                text("SELECT output FROM provisioner_job_logs WHERE job_id = :id ORDER BY id"),
                {"id": job_id},
            )
            return "\n".join(lines)

    def machines(self, workspace_id: uuid.UUID | None = None) -> set[str]:
        """Ids of the machines that exist in the cloud, of one workspace or of all."""
        found = self.machine_names(workspace_id)
        return set(found)

    def machine_names(self, workspace_id: uuid.UUID | None = None) -> Mapping[str, str]:
        """Names of the machines that exist, by id."""
        owners = self._owners_of(workspace_id) if workspace_id else None
        found = {}
        for machine in self._ledger():
            if owners is None or machine["workspace"] in owners:
                found[machine["id"]] = machine["name"]
        return found

    def machines_by_workspace(self) -> Mapping[str, str]:
        """What each existing machine says of its workspace: the id or, when slow, the name."""
        return {machine["id"]: machine["workspace"] for machine in self._ledger()}

    def _ledger(self) -> Iterator[Mapping[str, str]]:
        for path in self.ledger.glob("*.json"):
            with suppress(OSError, ValueError):
                yield json.loads(path.read_text())

    def _owners_of(self, workspace_id: uuid.UUID) -> set[str]:
        with self.database.begin() as session:
            query = text("SELECT name FROM workspaces WHERE id = :id")
            name = session.execute(query, {"id": workspace_id}).scalar_one()
        return {str(workspace_id), name}

    def known_machines(self, workspace_id: uuid.UUID | None = None) -> set[str]:
        """Ids of the machines in the stored states of the workspaces' newest builds."""
        with self.database.begin() as session:
            builds = session.scalars(
                text("""
                    SELECT DISTINCT ON (workspace_id) id
                    FROM workspace_builds
                    WHERE coalesce(workspace_id = :id, true)
                    ORDER BY workspace_id, build_number DESC
                """),
                {"id": workspace_id},
            ).all()
            states = [find_build_state(session, build) for build in builds]
        return {machine for state in states for machine in machines_of(state)}

    def directories(self) -> list[Path]:
        """Work directories of all hosts."""
        hosts = {worker.work_dir for worker in self.workers}
        return [found.path for host in hosts for found in find_work_directories(host)]

    def processes(self) -> list[int]:
        """What builds have started and what still runs."""
        hosts = {worker.work_dir for worker in self.workers}
        return [pid for host in hosts if host.exists() for pid in processes_in(host)]

    def settle(self, *, within_s: float = DEADLINE_S) -> None:
        """Wait until no directory and no process of a build is left."""
        wait_until(
            lambda: not self.directories() and not self.processes(),
            f"the end of {self.directories()} {self.processes()}",
            within_s=within_s,
        )

    def remains(self) -> Mapping[str, object]:
        """What must not be left of builds that have all ended: to be compared with nothing."""
        with self.database.begin() as session:
            leases = session.scalar(text("SELECT count(*) FROM leases"))
            active = session.scalar(
                text("SELECT count(*) FROM provisioner_jobs WHERE completed_at IS NULL")
            )
        return {
            name: value
            for name, value in (
                ("leases", leases),
                ("active jobs", active),
                ("directories", self.directories()),
                ("processes", self.processes()),
            )
            if value
        }

    def kill_all(self, workers: Sequence[Worker]) -> None:
        """End workers and everything below them at one moment, as the loss of a host does."""
        for worker in workers:
            worker.send(signal.SIGSTOP)
        for worker in workers:
            worker.kill(with_terraform=True)
        for pid in [pid for worker in workers for pid in processes_in(worker.work_dir)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        for worker in self.workers:
            with suppress(ProcessLookupError):
                worker.send(signal.SIGCONT)
            worker.kill(with_terraform=True)
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.redis.kill()

    def _push(
        self, directory: Path, variables: Mapping[str, object], tags: Mapping[str, str] | None
    ) -> Template:
        given = {"ledger_dir": str(self.ledger), **variables}
        archive = pack_template(directory)
        declared = read_template(read_archive(archive)).variables
        values = {
            variable.name: str(given[variable.name])
            for variable in declared
            if variable.name in given
        }
        return self.factory.template(
            organization=self.organization,
            created_by=self.owner,
            archive=archive,
            provisioner=ProvisionerType.TERRAFORM,
            values=values,
            tags=tags,
        )


def _keys() -> Mapping[str, str]:
    """The keys for secrets in the database, if whoever runs the tests has set some."""
    keys = os.environ.get(VARIABLE)
    return {"ENCRYPTION_KEYS": keys} if keys else {}


def environment_of(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process with these settings and no others."""
    inherited = {key: value for key, value in os.environ.items() if "PROVISIONERD" not in key}
    return inherited | {f"PROVISIONERD_{key}": settings[key] for key in settings}


@contextmanager
def running_cluster(
    directory: Path,
    *,
    database: Database,
    database_url: str,
    cli_config: Path,
    allowance: int = 100_000,
) -> Iterator[Cluster]:
    """A cluster without workers yet; all of its processes end with the block."""
    cluster = Cluster(
        directory=directory,
        database=database,
        database_url=database_url,
        redis=_started_redis(directory),
        cli_config=cli_config,
        allowance=allowance,
    )
    try:
        yield cluster
    finally:
        cluster.close()


def _started_redis(directory: Path) -> RedisServer:
    redis = RedisServer(directory=directory, port=int(free_address().rpartition(":")[2]))
    redis.start()
    return redis
