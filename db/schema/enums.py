"""The closed sets of values that the tables use, and the error codes of the job contract.

Values and spellings follow the system whose API readers we serve; a member's
value is what stands in the column and in the JSON.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AutomaticUpdates",
    "BuildReason",
    "FailureReason",
    "GroupSource",
    "JobErrorCode",
    "JobPriority",
    "JobStatus",
    "JobType",
    "LogLevel",
    "LogSource",
    "ProvisionerType",
    "Stage",
    "StorageMethod",
    "TimingStage",
    "Transition",
    "UserStatus",
    "job_is_insufficient_quota_error_code",
    "job_is_missing_parameter_error_code",
    "job_is_missing_required_template_variable_error_code",
]


class JobStatus(StrEnum):
    """Where a provisioner job stands. Derived by PostgreSQL, never written (see ``job_status``)."""

    PENDING = "pending"  #: enqueued, no worker has claimed it
    RUNNING = "running"  #: a worker holds its lease
    SUCCEEDED = "succeeded"  #: completed without an error
    CANCELING = "canceling"  #: a cancel was requested, the worker has not finished yet
    CANCELED = "canceled"  #: completed after a cancel request, without an error
    FAILED = "failed"  #: completed with an error
    UNKNOWN = "unknown"  #: never derived; readers use it for rows that they cannot place

    @property
    def is_active(self) -> bool:
        """Whether the job may still change."""
        return self in {JobStatus.PENDING, JobStatus.RUNNING, JobStatus.CANCELING}


class JobErrorCode(StrEnum):
    """Why a job failed, where a machine is to tell it apart. Untagged failures have none."""

    MISSING_TEMPLATE_PARAMETER = "MISSING_TEMPLATE_PARAMETER"
    REQUIRED_TEMPLATE_VARIABLES = "REQUIRED_TEMPLATE_VARIABLES"
    INSUFFICIENT_QUOTA = "INSUFFICIENT_QUOTA"


def job_is_missing_parameter_error_code(code: str | None) -> bool:
    """Return whether the build failed for want of a template parameter's value."""
    return code == JobErrorCode.MISSING_TEMPLATE_PARAMETER


def job_is_missing_required_template_variable_error_code(code: str | None) -> bool:
    """Return whether the job failed for want of a required template variable's value."""
    return code == JobErrorCode.REQUIRED_TEMPLATE_VARIABLES


def job_is_insufficient_quota_error_code(code: str | None) -> bool:
    """Return whether the quota commit refused the build."""
    return code == JobErrorCode.INSUFFICIENT_QUOTA


class JobType(StrEnum):
    """What a provisioner job does."""

    TEMPLATE_VERSION_IMPORT = "template_version_import"
    WORKSPACE_BUILD = "workspace_build"
    TEMPLATE_VERSION_DRY_RUN = "template_version_dry_run"


class ProvisionerType(StrEnum):
    """Which engine runs a template."""

    ECHO = "echo"
    TERRAFORM = "terraform"


class StorageMethod(StrEnum):
    """Where a job's source archive is kept."""

    FILE = "file"


class TimingStage(StrEnum):
    """The Terraform operation that a timing belongs to."""

    INIT = "init"
    PLAN = "plan"
    GRAPH = "graph"
    APPLY = "apply"


class Transition(StrEnum):
    """What a workspace build makes of the workspace."""

    START = "start"
    STOP = "stop"
    DELETE = "delete"


class LogLevel(StrEnum):
    """How loud a log line is."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class LogSource(StrEnum):
    """Who wrote a log line: the daemon itself or the engine that it runs."""

    PROVISIONER_DAEMON = "provisioner_daemon"
    PROVISIONER = "provisioner"


class BuildReason(StrEnum):
    """Why a build was enqueued."""

    INITIATOR = "initiator"
    AUTOSTART = "autostart"
    AUTOSTOP = "autostop"
    DORMANCY = "dormancy"
    AUTODELETE = "autodelete"


class UserStatus(StrEnum):
    """Whether a user may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DORMANT = "dormant"


class GroupSource(StrEnum):
    """Who keeps a group's member list."""

    USER = "user"
    OIDC = "oidc"


class AutomaticUpdates(StrEnum):
    """Whether a workspace follows its template's active version by itself."""

    ALWAYS = "always"
    NEVER = "never"


class JobPriority:
    """The priority classes of a queue: a lower number is claimed first."""

    HUMAN = 0  #: somebody waits for the build
    PREBUILD = 10  #: initiated by the prebuilds user


class FailureReason(StrEnum):
    """Why a job failed, for operators. A label of metrics: closed, and apart from the contract.

    ``JobErrorCode`` is what callers see; this tells who has to do something about it.
    """

    ARCHIVE = "archive"  #: the template's archive was refused
    CANCELED = "canceled"  #: a cancel was requested and could not end the build cleanly
    COST = "cost"  #: the plan's price cannot be read
    DEADLINE = "deadline"  #: a stage took longer than its setting allows
    DRAINED = "drained"  #: the worker shut down during apply
    INTERNAL = "internal"  #: a fault of ours
    PARAMETERS = "parameters"  #: a parameter or variable lacks a value, or is not known
    PENDING_LIMIT = "pending_limit"  #: no worker claimed the job in time
    POISON = "poison"  #: the job's worker was lost in every attempt
    QUOTA = "quota"  #: the quota commit refused the build
    TEMPLATE = "template"  #: the template's files cannot be read
    TERRAFORM = "terraform"  #: the engine reported an error
    WORKER_LOST = "worker_lost"  #: the worker vanished during apply


class Stage(StrEnum):
    """The named steps of a workspace build, as ``provisioner_jobs.stage`` keeps them."""

    SET_UP = "set_up"
    INIT = "init"
    PLAN = "plan"
    COMMIT_QUOTA = "commit_quota"
    APPLY = "apply"
    COMPLETE = "complete"

    @property
    def has_side_effects(self) -> bool:
        """Whether a build that vanished in this stage may have changed something outside."""
        return self in {Stage.APPLY, Stage.COMPLETE}
