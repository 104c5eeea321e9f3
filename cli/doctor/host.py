"""The host checks of ``provisionerd doctor``: directories, PostgreSQL, Redis and Terraform."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import psycopg
from sqlalchemy.exc import SQLAlchemyError

from cli.doctor.deployment import check_deployment
from cli.doctor.result import CheckResult, ok, problem, warning
from db.engine import MINIMUM_SERVER_VERSION, Database, DatabaseError, open_database
from db.reads.server import server_facts
from db.schema.enums import ProvisionerType
from db.schema.grants import AccessRole, missing_rights
from db.schema.revision import check_migrated, head_revision
from db.sealing.keyring import Keyring
from db.texts import first_line
from provisioner.engines.port import EngineError
from provisioner.engines.terraform.binary import TerraformNotFoundError
from provisioner.engines.terraform.version import check_version, read_version
from worker.broker.errors import BROKER_AWAY, NoPermissionError
from worker.broker.rights import missing_commands
from worker.broker.server import read_server
from worker.process.explanation import explain
from worker.process.rights import broker_sentence, database_sentence
from worker.process.services import locate_terraform, probe_directory
from worker.settings import Settings

ENOUGH_DISK_BYTES = 1024**3
TOLERATED_SKEW_S = 5.0


def check_data_dir(settings: Settings) -> Iterator[CheckResult]:
    """Check that the data directory can be written and has room."""
    name, folder = "data directory", settings.data_dir
    try:
        probe_directory(folder, data=b"provisionerd")
    except OSError as error:
        yield problem(
            name,
            f"{folder} cannot be written ({error.strerror})",
            "Set PROVISIONERD_DATA_DIR to a writable folder.",
        )
        return
    yield ok(name, f"{folder} can be written")
    free = shutil.disk_usage(folder).free
    found = f"{free // 1024**2} MiB are free at {folder}"
    if free < ENOUGH_DISK_BYTES:
        fix = "Free space, or move PROVISIONERD_DATA_DIR: builds need it for providers and states."
        yield warning("disk", found, fix)
    else:
        yield ok("disk", found)


def check_database(
    url: str, *, is_embedded: bool, prepared_statements: bool, keyring: Keyring
) -> Iterator[CheckResult]:
    """Check PostgreSQL: reachable, new enough, migrated, its clock; then workers and queues.

    Args:
        is_embedded: whether the database is migrated automatically when it is used.
        prepared_statements: the same setting as for the workers' connections.
        keyring: the keys that secrets are sealed with.
    """
    database: Database | None = None
    try:
        database = open_database(
            url, pool_size=1, prepared_statements=prepared_statements, keyring=keyring
        )
        version, skew_s = _read_server(database)
        yield _version_result(version)
        yield _clock_result(skew_s)
        yield from _check_schema(database, is_embedded=is_embedded)
    except (DatabaseError, SQLAlchemyError, psycopg.Error) as error:
        yield problem(
            "PostgreSQL", _said(error), "Correct PROVISIONERD_DATABASE_URL, or start PostgreSQL."
        )
    finally:
        if database:
            database.dispose()


def check_redis(url: str, *, is_embedded: bool) -> Iterator[CheckResult]:
    """Check Redis: reachable, and that it does not drop messages.

    Args:
        is_embedded: whether Redis runs only while workers run, and so needs no persistence.
    """
    try:
        refused = missing_commands(url)
        facts = _redis_facts(url)
    except (*BROKER_AWAY, ValueError) as error:
        yield problem("Redis", _said(error), "Correct PROVISIONERD_REDIS_URL, or start Redis.")
        return
    yield _rights_result("Redis rights", broker_sentence(refused) if refused else None)
    if facts is None:
        yield warning(
            "Redis",
            "it answers, but the user may not run INFO: eviction and persistence were not checked",
            "Run doctor with a user that has +info, or check both by hand.",
        )
        return
    yield ok("Redis", f"version {facts.get('redis_version', 'unknown')} answers")
    yield _eviction_result(facts.get("maxmemory_policy", "unknown"))
    if is_embedded:
        yield ok("Redis persistence", "not needed here")
    else:
        yield _persistence_result(is_on=bool(facts.get("aof_enabled")))


def _rights_result(name: str, lacking: str | None) -> CheckResult:
    if lacking:
        return problem(name, lacking, "Run what `provisionerd grants --role worker` prints.")
    return ok(name, "the user has all that a worker needs")


def _redis_facts(url: str) -> Mapping[str, Any] | None:
    """Return Redis's answer to INFO; None when the user may not ask."""
    try:
        return read_server(url)
    except NoPermissionError:
        return None


def check_terraform(settings: Settings) -> Iterator[CheckResult]:
    """Check that Terraform is installed, without fetching it, and that its version is supported."""
    if ProvisionerType.TERRAFORM not in settings.engines:
        yield ok("Terraform", "not offered (PROVISIONERD_ENGINES)")
        return
    if not _has_terraform(settings):
        yield warning(
            "Terraform",
            f"not on the PATH; a worker fetches {settings.terraform_version} when it starts",
            "Install Terraform, or set PROVISIONERD_TERRAFORM_BINARY, if that host has no network.",
        )
        return
    try:
        binary = locate_terraform(settings)
        version = read_version(binary)
        check_version(version)
    except (TerraformNotFoundError, EngineError) as error:
        fix = "Install Terraform 1.1 or newer, or set PROVISIONERD_TERRAFORM_BINARY to its file."
        yield problem("Terraform", str(error), fix)
        return
    yield ok("Terraform", f"version {version} at {binary}")


def _read_server(database: Database) -> tuple[int, float]:
    """Return the server's version and how far its clock is ahead of this host's, in seconds."""
    with database.begin() as session:
        # The first statement also connects, which would distort the measurement.
        server_facts(session)
        before = time.time()
        facts = server_facts(session)
        ours = datetime.fromtimestamp((before + time.time()) / 2, tz=UTC)
    return facts.major_version, (facts.clock - ours).total_seconds()


def _eviction_result(policy: str) -> CheckResult:
    if policy == "noeviction":
        return ok("Redis eviction", policy)
    return problem(
        "Redis eviction",
        f"the policy is {policy}: Redis may drop doorbells",
        "Set `maxmemory-policy noeviction` in the configuration of Redis.",
    )


def _persistence_result(*, is_on: bool) -> CheckResult:
    if is_on:
        return ok("Redis persistence", "appendonly is on")
    return warning(
        "Redis persistence",
        "appendonly is off: a restart of Redis loses the doorbells, and builds start a few"
        " seconds late",
        "Set `appendonly yes` in the configuration of Redis.",
    )


def _version_result(version: int) -> CheckResult:
    wanted = MINIMUM_SERVER_VERSION[0]
    if version < wanted:
        fix = f"Upgrade PostgreSQL to {wanted} or newer."
        return problem("PostgreSQL", f"version {version} is too old", fix)
    return ok("PostgreSQL", f"version {version} answers")


def _clock_result(skew_s: float) -> CheckResult:
    found = f"this host and the database differ by {abs(skew_s):.1f} s"
    if abs(skew_s) > TOLERATED_SKEW_S:
        fix = (
            "Synchronise both clocks (NTP): otherwise log times are wrong and clouds refuse calls."
        )
        return warning("clock", found, fix)
    return ok("clock", found)


def _check_schema(database: Database, *, is_embedded: bool) -> Iterator[CheckResult]:
    try:
        check_migrated(database.engine)
    except DatabaseError as error:
        if is_embedded:
            yield ok("migrations", "the embedded database is migrated when it is used")
            return
        yield problem("migrations", str(error), "Run `provisionerd migrate`.")
        return
    yield ok("migrations", f"the schema is at {head_revision()} or newer")
    with database.begin() as session:
        lacking = missing_rights(session, AccessRole.WORKER)
    yield _rights_result("PostgreSQL rights", database_sentence(lacking) if lacking else None)
    if not lacking:
        yield from check_deployment(database, database.keyring)


def _has_terraform(settings: Settings) -> bool:
    kept = settings.data_dir / "terraform" / settings.terraform_version / "terraform"
    return bool(
        settings.terraform_binary
        or shutil.which("terraform")
        or shutil.which("tofu")
        or os.access(kept, os.X_OK)
    )


def _said(error: Exception) -> str:
    return explain(error) or first_line(error)
