"""What a process needs to work: the database, the broker's address, the engines."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

from sqlalchemy.exc import OperationalError

from db.engine import Database, DatabaseError, open_database
from db.schema.enums import ProvisionerType
from db.schema.revision import check_migrated
from db.texts import first_line
from provisioner.build.steps import BuildLimits, BuildSettings
from provisioner.engines.echo import EchoEngine
from provisioner.engines.port import Engine
from provisioner.engines.terraform.binary import RELEASE_URL, Progress, find_terraform
from provisioner.engines.terraform.engine import TerraformEngine
from provisioner.engines.terraform.initcache import InitCache
from worker.embedded import start_embedded
from worker.process.connections import chore_connections
from worker.settings import Settings, SettingsError


@dataclass(frozen=True, kw_only=True)
class Services:
    """Where PostgreSQL and Redis are. Embedded ones run as long as this is open."""

    database: Database
    database_url: str
    redis_url: str


@contextmanager
def open_services(settings: Settings, *, check: bool = True) -> Iterator[Services]:
    """Open the configured services, or start embedded ones for those that are not.

    An embedded database is migrated by itself; a configured one is the operator's to migrate.

    Args:
        check: whether the schema has to be up to date (not so for ``migrate`` itself).

    Raises:
        EmbeddedError: an embedded server cannot be started.
        DatabaseError: the database cannot be reached, or lacks a migration.
    """
    with start_embedded(
        settings.data_dir,
        postgres=settings.database_url is None,
        redis=settings.redis_url is None,
    ) as embedded:
        database_url = _configured(settings.database_url) or embedded.database_url
        redis_url = _configured(settings.redis_url) or embedded.redis_url
        assert database_url is not None
        assert redis_url is not None
        database = open_database(
            database_url,
            pool_size=chore_connections(settings.concurrency),
            prepared_statements=settings.prepared_statements,
        )
        try:
            _prepare(database, is_embedded=settings.database_url is None, check=check)
            yield Services(database=database, database_url=database_url, redis_url=redis_url)
        finally:
            database.dispose()


def make_directories(settings: Settings) -> None:
    """Make the folders that a worker cannot do without, if they are not there.

    Raises:
        SettingsError: one of them cannot be made, or nothing can be written there.
    """
    # The embedded servers are another user's, and lie in the first.
    folders = (("DATA", settings.data_dir, 0o755), ("WORK", settings.work_root, 0o700))
    for name, folder, mode in folders:
        try:
            probe_directory(folder, mode=mode)
        except OSError as error:
            raise SettingsError(
                f"the folder {folder} can not be used ({error.strerror}); "
                f"set PROVISIONERD_{name}_DIR to one of your own"
            ) from error


def probe_directory(folder: Path, *, mode: int = 0o777, data: bytes = b"") -> None:
    """Make the folder if it is not there, and write ``data`` into a file that is gone at once.

    Tried and not asked: root may write where the mode forbids it, a full disk does not.

    Raises:
        OSError: the folder cannot be made, or not be written.
    """
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    with TemporaryFile(dir=folder) as probe:
        probe.write(data)


def make_engines(
    settings: Settings, *, progress: Progress | None = None
) -> dict[ProvisionerType, Engine]:
    """Return the engines that this worker offers; Terraform is found or fetched.

    Raises:
        TerraformNotFoundError: it is neither there nor to be had.
    """
    engines: dict[ProvisionerType, Engine] = {}
    if ProvisionerType.ECHO in settings.engines:
        engines[ProvisionerType.ECHO] = EchoEngine()
    if ProvisionerType.TERRAFORM in settings.engines:
        engines[ProvisionerType.TERRAFORM] = TerraformEngine(
            locate_terraform(settings, progress=progress),
            grace=timedelta(seconds=settings.interrupt_grace_seconds),
            cache=_init_cache(settings),
        )
    return engines


def locate_terraform(settings: Settings, *, progress: Progress | None = None) -> Path:
    """Return the path of the binary that builds use, fetching it if there is none.

    Raises:
        TerraformNotFoundError: says where it looked and what to do.
    """
    return find_terraform(
        setting=str(settings.terraform_binary) if settings.terraform_binary else None,
        path=os.environ.get("PATH", ""),
        data_dir=settings.data_dir,
        release_url=settings.terraform_release_url or RELEASE_URL,
        pinned_version=settings.terraform_version,
        pinned_sha256=settings.terraform_sha256,
        progress=progress,
    )


def build_settings(settings: Settings) -> BuildSettings:
    """Return what the builds of this worker share."""
    return BuildSettings(
        work_root=settings.work_root,
        host_environment=dict(os.environ),
        passed_names=settings.passed_environment,
        terraform_cli_config_file=settings.terraform_cli_config_file,
        plugin_cache_dir=settings.plugin_cache_dir,
        max_attempts=settings.max_attempts,
        limits=BuildLimits(
            init=timedelta(seconds=settings.init_timeout_seconds),
            plan=timedelta(seconds=settings.plan_timeout_seconds),
            apply=timedelta(seconds=settings.apply_timeout_seconds),
        ),
    )


def _init_cache(settings: Settings) -> InitCache | None:
    if not settings.init_cache_megabytes:
        return None
    return InitCache(
        settings.data_dir / "cache" / "init", max_bytes=settings.init_cache_megabytes * 1024**2
    )


def _configured(url: object) -> str | None:
    secret = getattr(url, "get_secret_value", None)
    return str(secret()) if secret else None


def _prepare(database: Database, *, is_embedded: bool, check: bool) -> None:
    try:
        if is_embedded:
            # Not imported by a worker that has a database: Alembic is 5 MB.
            import_module("db.schema.migrate").migrate(database.engine)
        elif check:
            check_migrated(database.engine)
    except OperationalError as error:
        raise DatabaseError(
            f"the database cannot be reached ({first_line(error)});"
            " check PROVISIONERD_DATABASE_URL and that PostgreSQL runs"
        ) from error
