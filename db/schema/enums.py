"""The closed sets of values that the tables use, and the error codes of the job contract.

Values and spellings follow Coder. The value of a member is stored in the column and written to the
JSON.
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
    "PrebuildStatus",
    "ProvisionerType",
    "Stage",
    "StorageMethod",
    "TimingStage",
    "TokenScope",
    "Transition",
    "UserStatus",
    "job_is_insufficient_quota_error_code",
    "job_is_missing_parameter_error_code",
    "job_is_missing_required_template_variable_error_code",
]


class JobStatus(StrEnum):
    """The status of a provisioner job, derived by PostgreSQL from other columns, never written."""

    PENDING = "pending"  #: enqueued, no worker has claimed it
    RUNNING = "running"  #: a worker holds its lease
    SUCCEEDED = "succeeded"  #: completed without an error
    CANCELING = "canceling"  #: a cancel was requested, the worker has not stopped yet
    CANCELED = "canceled"  #: completed after a cancel request, without an error
    FAILED = "failed"  #: completed with an error
    UNKNOWN = "unknown"  #: never derived; for clients that meet an unknown value

    @property
    def is_active(self) -> bool:
        """Whether the job may still change."""
        return self in {JobStatus.PENDING, JobStatus.RUNNING, JobStatus.CANCELING}


class JobErrorCode(StrEnum):
    """Why a job failed, for callers that must distinguish it. Untagged failures have no code."""

    MISSING_TEMPLATE_PARAMETER = "MISSING_TEMPLATE_PARAMETER"
    REQUIRED_TEMPLATE_VARIABLES = "REQUIRED_TEMPLATE_VARIABLES"
    INSUFFICIENT_QUOTA = "INSUFFICIENT_QUOTA"


def job_is_missing_parameter_error_code(code: str | None) -> bool:
    """Return whether the build failed because a template parameter has no value."""
    return code == JobErrorCode.MISSING_TEMPLATE_PARAMETER


def job_is_missing_required_template_variable_error_code(code: str | None) -> bool:
    """Return whether the job failed because a required template variable has no value."""
    return code == JobErrorCode.REQUIRED_TEMPLATE_VARIABLES


def job_is_insufficient_quota_error_code(code: str | None) -> bool:
    """Return whether the quota commit refused the build."""
    return code == JobErrorCode.INSUFFICIENT_QUOTA


class PlannedAction(StrEnum):
    """What a plan would do to a resource."""

    CREATE = "create"
    UPDATE = "update"  #: in place
    REPLACE = "replace"  #: destroy it and create another one, in either order
    DELETE = "delete"
    FORGET = "forget"  #: leave it as it is, and remove it from the state
    NO_OP = "no-op"


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
    """The severity of a log line."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARN = "warn"
    ERROR = "error"


class LogSource(StrEnum):
    """Who wrote a log line: the daemon or the engine."""

    PROVISIONER_DAEMON = "provisioner_daemon"
    PROVISIONER = "provisioner"


class BuildReason(StrEnum):
    """Why a build was enqueued."""

    INITIATOR = "initiator"  #: somebody asked for it, and did not say by which program
    AUTOSTART = "autostart"
    AUTOSTOP = "autostop"
    DORMANCY = "dormancy"
    AUTODELETE = "autodelete"
    DASHBOARD = "dashboard"
    CLI = "cli"
    SSH_CONNECTION = "ssh_connection"
    VSCODE_CONNECTION = "vscode_connection"
    JETBRAINS_CONNECTION = "jetbrains_connection"
    TASK_AUTO_PAUSE = "task_auto_pause"
    TASK_MANUAL_PAUSE = "task_manual_pause"
    TASK_RESUME = "task_resume"


class UserStatus(StrEnum):
    """Whether a user may build; only active users may."""

    ACTIVE = "active"
    SUSPENDED = "suspended"
    DORMANT = "dormant"


class TokenScope(StrEnum):
    """The most that a token may do; each scope includes those before it.

    A token never allows what the roles of its user do not.
    """

    READ = "read"  #: read
    BUILD = "build"  #: create, build and cancel workspaces
    OPERATE = "operate"  #: push templates, retry jobs, replace states
    ADMIN = "admin"  #: users, roles, tokens and webhooks

    def includes(self, other: TokenScope) -> bool:
        """Whether a token of this scope may do what ``other`` allows."""
        ladder = list(TokenScope)
        return ladder.index(self) >= ladder.index(other)


class LoginType(StrEnum):
    """How a user signs in to the platform."""

    PASSWORD = "password"  # noqa: S105 - a name
    GITHUB = "github"
    OIDC = "oidc"
    TOKEN = "token"  # noqa: S105 - a name
    NONE = "none"
    OAUTH2_PROVIDER_APP = "oauth2_provider_app"


class GroupSource(StrEnum):
    """Who maintains the members of a group."""

    USER = "user"
    OIDC = "oidc"


class AutomaticUpdates(StrEnum):
    """Whether a workspace is updated to the active version of its template automatically."""

    ALWAYS = "always"
    NEVER = "never"


class PrebuildStatus(StrEnum):
    """Whether prebuilt workspaces of a preset can be built."""

    HEALTHY = "healthy"
    HARD_LIMITED = "hard_limited"
    VALIDATION_FAILED = "validation_failed"


class JobPriority:
    """The priority classes of a queue: a lower number is claimed first."""

    HUMAN = 0  #: somebody waits for the build
    PREBUILD = 10  #: initiated by the prebuilds user


class FailureReason(StrEnum):
    """Why a job failed, for operators. A label of metrics, not part of the contract.

    Callers see ``JobErrorCode``; this says who must act.
    """

    ARCHIVE = "archive"  #: the template's archive was refused
    CIRCUIT = "circuit"  #: the last starts of its version failed while it waited
    CANCELED = "canceled"  #: a cancel was requested and could not end the build cleanly
    COST = "cost"  #: the daily cost cannot be read from the plan
    DEADLINE = "deadline"  #: a stage took longer than its setting allows
    DRAINED = "drained"  #: the worker shut down during apply
    HOOK = "hook"  #: the platform's build hook did not answer as it must
    INTERNAL = "internal"  #: a bug in provisionerd
    PARAMETERS = "parameters"  #: a parameter or variable has no value, or is unknown
    PENDING_LIMIT = "pending_limit"  #: no worker claimed the job in time
    POISON = "poison"  #: the job's worker was lost in every attempt
    QUOTA = "quota"  #: the quota commit refused the build
    SEALED = "sealed"  #: a stored secret does not open: the worker lacks its key
    TEMPLATE = "template"  #: the template's files cannot be read
    TERRAFORM = "terraform"  #: the engine reported an error
    WORKER_LOST = "worker_lost"  #: the worker was lost during apply


class Stage(StrEnum):
    """The steps of a workspace build, as stored in ``provisioner_jobs.stage``."""

    SET_UP = "set_up"
    INIT = "init"
    PLAN = "plan"
    COMMIT_QUOTA = "commit_quota"
    APPLY = "apply"
    COMPLETE = "complete"

    @property
    def has_side_effects(self) -> bool:
        """Whether a build that reached this stage may have changed something outside."""
        return self in {Stage.APPLY, Stage.COMPLETE}
