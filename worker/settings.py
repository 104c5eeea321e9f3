"""The settings of a process: read once from the environment, checked, and passed as an argument.

Every setting is an environment variable ``PROVISIONERD_<NAME>``. Unknown names are refused, so
that a misspelt setting is not silently ignored.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource

from db.errors import InvalidError
from db.faults import parse_faults
from db.jobs.tags import normalize_tags, served_queues
from db.schema.enums import ProvisionerType
from provisioner.build.entries import BuildEnvironmentError
from provisioner.build.environment import check_passed_names
from provisioner.engines.port import TERRAFORM_VERSION
from provisioner.host.sandbox.paths import read_paths
from provisioner.host.sandbox.port import SandboxMode
from worker.apisettings import ApiSettings
from worker.broker.address import DEFAULT_DATA_DIR, check_redis_url, with_ca_file
from worker.broker.secretfile import SecretFileError
from worker.keysettings import KeySettings
from worker.platformsettings import PlatformSettings
from worker.process.connections import chore_connections
from worker.serversettings import ServerSettings
from worker.textlists import CommaSeparated, TextList
from worker.timesettings import TimeSettings
from worker.variables import problem_of_names, values_of, variable_of


class SettingsError(Exception):
    """A setting is unknown, invalid, or contradicts another; the message names it."""


class Pool(StrEnum):
    """How Celery runs the build slots of a worker."""

    THREADS = "threads"
    PREFORK = "prefork"


class LogFormat(StrEnum):
    """How the daemon writes its own log."""

    CONSOLE = "console"
    JSON = "json"


TURNED_OFF_WHEN_EMPTY = frozenset({"metrics_address", "api_address", "api_metrics_address"})


class Settings(ApiSettings, PlatformSettings, KeySettings, TimeSettings):
    """All settings, with their meaning, unit, default and bounds."""

    database_url: SecretStr | None = Field(
        None, description="PostgreSQL 15 or newer; when not set, one runs in the data directory"
    )
    redis_url: SecretStr | None = Field(
        None, description="Redis for Celery; when not set, one runs in the data directory"
    )
    redis_ca_file: Path | None = Field(
        None,
        description="certificates that a rediss:// server's is checked against; when not set, those"
        " of the system",
    )
    prepared_statements: bool = Field(
        True,
        description="false for a PgBouncer before 1.22 in transaction mode, which cannot keep them",
    )
    data_dir: Path = Field(
        DEFAULT_DATA_DIR,
        description="embedded servers, fetched Terraform, caches, work directories",
    )
    work_dir: Path | None = Field(
        None, description="work directories of builds; when not set, DATA_DIR/work"
    )

    worker_name: str = Field(
        default_factory=platform.node,
        description="unique name of this worker; when not set, the host's name",
    )
    tags: Annotated[dict[str, str], NoDecode] = Field(
        {}, description="tags of this worker, as KEY=VALUE,KEY=VALUE"
    )
    concurrency: int = Field(4, ge=1, le=256, description="builds that this worker runs at once")
    pool: Pool = Field(Pool.THREADS, description="threads or prefork")
    engines: Annotated[tuple[ProvisionerType, ...], NoDecode, CommaSeparated] = Field(
        (ProvisionerType.TERRAFORM,), description="engines that this worker offers, comma-separated"
    )
    metrics_address: str = Field(
        "127.0.0.1:2112", description="HOST:PORT of /metrics; empty turns it off"
    )

    terraform_binary: Path | None = Field(
        None, description="terraform or tofu; when not set, found on the PATH or fetched"
    )
    terraform_version: str = Field(TERRAFORM_VERSION, description="Terraform version to fetch")
    terraform_sha256: str | None = Field(
        None,
        description="SHA-256 of the fetched archive, in addition to the sums that HashiCorp signed",
    )
    terraform_release_url: str | None = Field(
        None, description="an HTTPS mirror of the official release server, signatures included"
    )
    terraform_cli_config_file: Path | None = Field(
        None, description="Terraform CLI configuration file for all builds, for example a mirror"
    )
    state_reserve_megabytes: int = Field(
        4,
        ge=0,
        le=4096,
        description="room on disk that a build reserves for its state before it is applied; twice"
        " the size of the last state, if that is more",
    )
    plugin_cache_dir: Path | None = Field(
        None,
        description="a provider cache for Terraform, used in place of the init cache's",
    )
    init_cache_megabytes: int = Field(
        2048,
        ge=0,
        description="disk space for initialized templates and providers; 0 turns the cache off",
    )
    passed_environment: TextList = Field(
        (),
        description="environment variables (names or patterns) that templates get, comma-separated",
    )

    sandbox: SandboxMode = Field(
        SandboxMode.AUTO,
        description="what confines templates: auto, bwrap, landlock, off, or required, which is"
        " auto but refuses to start without a sandbox",
    )
    sandbox_paths: TextList = Field(
        (),
        description="more paths that templates may read, comma-separated; with `:rw` at its end,"
        " a path that they may also write",
    )
    job_memory_megabytes: int = Field(
        4096, ge=64, description="memory that the processes of one build may use, in a sandbox"
    )
    job_disk_megabytes: int = Field(
        10240, ge=16, description="disk space that one build may use, in a sandbox"
    )
    job_processes: int = Field(
        2048, ge=64, description="processes and threads that one build may run, in a sandbox"
    )
    job_open_files: int = Field(
        8192, ge=64, description="files that one process of a build may open, in a sandbox"
    )

    max_attempts: int = Field(
        3, ge=1, le=100, description="maximum attempts of a job whose workers are lost"
    )

    faults: str = Field("", description="fault points for tests; leave empty (see db.faults)")

    traces: bool | None = Field(
        None,
        description="traces of builds by OTLP; needs the extra otel; when not set, on if"
        " OTEL_EXPORTER_OTLP_ENDPOINT is set",
    )

    log_format: LogFormat = Field(LogFormat.CONSOLE, description="console or json")
    log_level: str = Field(
        "info",
        pattern="^(debug|info|warning|error)$",
        description="debug, info, warning or error",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values only from the caller: ``load_settings`` reads the environment."""
        return (init_settings,)

    @field_validator("tags", mode="before")
    @classmethod
    def _split_tags(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
        if any(not separator for _key, separator, _value in pairs):
            raise ValueError("tags must be KEY=VALUE,KEY=VALUE")
        return {key.strip(): value.strip() for key, _separator, value in pairs}

    @field_validator("redis_url", mode="after")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_redis_url(value.get_secret_value())
        return value

    @field_validator("data_dir", "work_dir", "terraform_binary", mode="after")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return value and value.expanduser().absolute()

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if not self.engines:
            raise ValueError("ENGINES must name at least one engine")
        try:
            normalize_tags(self.tags)
            served_queues(self.tags)
            check_passed_names(self.passed_environment)
            read_paths(self.sandbox_paths)
            parse_faults(self.faults)
            _ = self.retention
        except (InvalidError, BuildEnvironmentError) as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def redis_address(self) -> str | None:
        """The URL of Redis with the file of certificates; None if no URL is set."""
        if self.redis_url is None:
            return None
        return with_ca_file(self.redis_url.get_secret_value(), self.redis_ca_file)

    @property
    def servers(self) -> ServerSettings:
        """The settings about PostgreSQL and Redis."""
        url = self.database_url
        return ServerSettings(
            database_url=url.get_secret_value() if url else None,
            redis_url=self.redis_address,
            data_dir=self.data_dir,
            prepared_statements=self.prepared_statements,
            keyring=self.keyring,
            connections=chore_connections(self.concurrency),
        )

    @property
    def work_root(self) -> Path:
        """The directory that holds the work directories of builds; no link, as no link is followed.

        The kernel names the working directory of a process without links, too.
        """
        return (self.work_dir or self.data_dir / "work").resolve()


def load_settings(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read and check the settings of this process.

    Args:
        environment: the environment to read; when None, that of the process.
        overrides: values by field name that override the environment (command line options).

    Raises:
        SettingsError: the message has one sentence for each problem.
    """
    names = os.environ if environment is None else environment
    if problem := problem_of_names(Settings.model_fields, names):
        raise SettingsError(problem)
    try:
        given = values_of(Settings.model_fields, names, may_be_empty=TURNED_OFF_WHEN_EMPTY)
    except SecretFileError as error:
        raise SettingsError(str(error)) from error
    try:
        return Settings.model_validate({**given, **overrides})
    except ValidationError as error:
        raise SettingsError("; ".join(_sentence(item) for item in error.errors())) from error


def _sentence(item: object) -> str:
    assert isinstance(item, dict)
    where = "".join(variable_of(str(part)) for part in item["loc"][:1])
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
