"""The checks of ``provisionerd doctor``: what is wrong, and what to do about it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from tempfile import TemporaryFile
from typing import Any

import redis
from sqlalchemy.exc import SQLAlchemyError

from db.engine import MINIMUM_SERVER_VERSION, Database, DatabaseError, open_database
from db.enums import ProvisionerType
from db.listing import list_workers
from db.migrate import check_migrated, head_revision
from db.queue import queue_depths
from db.server import server_facts
from provisioner.engine import EngineError
from provisioner.terraform.binary import TerraformNotFoundError
from provisioner.terraform.version import check_version, read_version
from worker.commands.failures import explain
from worker.commands.printing import seconds_text
from worker.services import locate_terraform
from worker.settings import Settings

REDIS_TIMEOUT_S = 3
ENOUGH_DISK_BYTES = 1024**3
TOLERATED_SKEW_S = 5.0


class Verdict(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"  #: builds go on
    PROBLEM = "problem"  #: builds fail or wait


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found, and what to do about it when it is not ok."""

    check: str
    verdict: Verdict
    found: str
    fix: str = ""


def check_data_dir(settings: Settings) -> Iterator[Finding]:
    """Check that the data directory can be written and has room."""
    name, folder = "data directory", settings.data_dir
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Tried and not asked: root may write where the mode forbids it, a full disk does not.
        with TemporaryFile(dir=folder) as probe:
            probe.write(b"provisionerd")
    except OSError as error:
        yield _problem(
            name,
            f"{folder} cannot be written ({error.strerror})",
            "Set PROVISIONERD_DATA_DIR to a folder of your own.",
        )
        return
    yield _ok(name, f"{folder} can be written")
    free = shutil.disk_usage(folder).free
    found = f"{free // 1024**2} MiB are free at {folder}"
    if free < ENOUGH_DISK_BYTES:
        fix = "Make room, or move PROVISIONERD_DATA_DIR: builds need space for providers and state."
        yield Finding(check="disk", verdict=Verdict.WARNING, found=found, fix=fix)
    else:
        yield _ok("disk", found)


def check_database(url: str, *, is_embedded: bool) -> Iterator[Finding]:
    """Check PostgreSQL: reachable, new enough, migrated, its clock; then workers and queues.

    Args:
        is_embedded: whether the database is migrated by itself, when it is used.
    """
    database: Database | None = None
    try:
        database = open_database(url, pool_size=1)
        version, skew_s = _read_server(database)
        yield _version_finding(version)
        yield _clock_finding(skew_s)
        yield from _check_schema(database, is_embedded=is_embedded)
    except (DatabaseError, SQLAlchemyError) as error:
        yield _problem(
            "PostgreSQL", _said(error), "Correct PROVISIONERD_DATABASE_URL, or start PostgreSQL."
        )
    finally:
        if database:
            database.dispose()


def check_redis(url: str) -> Iterator[Finding]:
    """Check Redis: reachable, and that it does not throw messages away."""
    try:
        facts = _redis_facts(url)
    except (redis.RedisError, ValueError) as error:
        yield _problem("Redis", _said(error), "Correct PROVISIONERD_REDIS_URL, or start Redis.")
        return
    yield _ok("Redis", f"version {facts.get('redis_version', 'unknown')} answers")
    policy = facts.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        yield _ok("Redis eviction", "noeviction")
    else:
        yield _problem(
            "Redis eviction",
            f"the policy is {policy}: Redis may throw doorbells away",
            "Set `maxmemory-policy noeviction` in the configuration of Redis.",
        )


def check_terraform(settings: Settings) -> Iterator[Finding]:
    """Check that Terraform is there, without fetching it, and that its version fits."""
    if ProvisionerType.TERRAFORM not in settings.engines:
        yield _ok("Terraform", "not offered (PROVISIONERD_ENGINES)")
        return
    if not _has_terraform(settings):
        yield Finding(
            check="Terraform",
            verdict=Verdict.WARNING,
            found=f"not on the PATH; a worker fetches {settings.terraform_version} when it starts",
            fix="Install Terraform, or set PROVISIONERD_TERRAFORM_BINARY, if that host has"
            " no network.",
        )
        return
    try:
        binary = locate_terraform(settings)
        version = read_version(binary)
        check_version(version)
    except (TerraformNotFoundError, EngineError) as error:
        fix = "Install Terraform 1.1 or newer, or set PROVISIONERD_TERRAFORM_BINARY to its file."
        yield _problem("Terraform", str(error), fix)
        return
    yield _ok("Terraform", f"version {version} at {binary}")


def _redis_facts(url: str) -> dict[str, Any]:
    with redis.Redis.from_url(
        url, socket_connect_timeout=REDIS_TIMEOUT_S, socket_timeout=REDIS_TIMEOUT_S
    ) as client:
        facts: dict[str, Any] = client.info()
        return facts


def _read_server(database: Database) -> tuple[int, float]:
    """Return the server's version and how far its clock is ahead of ours, in seconds."""
    with database.begin() as session:
        # The first statement connects, which takes its time.
        server_facts(session)
        before = time.time()
        facts = server_facts(session)
        ours = datetime.fromtimestamp((before + time.time()) / 2, tz=UTC)
    return facts.major_version, (facts.clock - ours).total_seconds()


def _version_finding(version: int) -> Finding:
    wanted = MINIMUM_SERVER_VERSION[0]
    if version < wanted:
        fix = f"Upgrade PostgreSQL to {wanted} or newer."
        return _problem("PostgreSQL", f"version {version} is too old", fix)
    return _ok("PostgreSQL", f"version {version} answers")


def _clock_finding(skew_s: float) -> Finding:
    found = f"this host and the database differ by {abs(skew_s):.1f} s"
    if abs(skew_s) > TOLERATED_SKEW_S:
        fix = "Synchronise both clocks (NTP): times in logs mislead, and clouds refuse requests."
        return Finding(check="clock", verdict=Verdict.WARNING, found=found, fix=fix)
    return _ok("clock", found)


def _check_schema(database: Database, *, is_embedded: bool) -> Iterator[Finding]:
    try:
        check_migrated(database.engine)
    except DatabaseError as error:
        if is_embedded:
            yield _ok("migrations", "the embedded database is migrated when it is used")
            return
        yield _problem("migrations", str(error), "Run `provisionerd migrate`.")
        return
    yield _ok("migrations", f"the schema is at {head_revision()} or newer")
    yield from _check_workers(database)
    yield from _check_queues(database)


def _check_workers(database: Database) -> Iterator[Finding]:
    with database.begin() as session:
        workers = list_workers(session)
    for worker in workers:
        if worker.is_stale:
            yield Finding(
                check="workers",
                verdict=Verdict.WARNING,
                found=f"{worker.name} vanished {seconds_text(worker.last_seen_s)} ago"
                " without signing off",
                fix=f"Look on host {worker.hostname or 'unknown'} why it ended; start it again.",
            )
    alive = sum(worker.status != "offline" for worker in workers)
    if alive:
        yield _ok("workers", f"{alive} alive")
    else:
        yield Finding(
            check="workers",
            verdict=Verdict.WARNING,
            found="no worker is alive",
            fix="Start one with `provisionerd up` or `provisionerd worker`.",
        )


def _check_queues(database: Database) -> Iterator[Finding]:
    with database.begin() as session:
        depths = queue_depths(session)
    stuck = [depth for depth in depths if depth.depth and not depth.workers]
    for depth in stuck:
        yield _problem(
            "queues",
            f"{depth.depth} jobs wait in {depth.queue} for {seconds_text(depth.oldest_s)}"
            " and no live worker serves it",
            "Start a worker that has the jobs' tags (`provisionerd queue explain JOB` tells them).",
        )
    if not stuck:
        waiting = sum(depth.depth for depth in depths)
        yield _ok("queues", f"{waiting} jobs wait, all for live workers")


def _has_terraform(settings: Settings) -> bool:
    kept = settings.data_dir / "terraform" / settings.terraform_version / "terraform"
    return bool(
        settings.terraform_binary
        or shutil.which("terraform")
        or shutil.which("tofu")
        or os.access(kept, os.X_OK)
    )


def _said(error: Exception) -> str:
    return explain(error) or str(error).splitlines()[0]


def _ok(check: str, found: str) -> Finding:
    return Finding(check=check, verdict=Verdict.OK, found=found)


def _problem(check: str, found: str, fix: str) -> Finding:
    return Finding(check=check, verdict=Verdict.PROBLEM, found=found, fix=fix)
