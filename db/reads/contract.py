"""The contract: the JSON that clients of the API get, as pydantic models.

Field names, types and enum values are those of Coder (its ``codersdk``), so that a client written
for Coder's API can parse them. A field without a value is left out of the JSON, never written as
null: an untagged failure has no ``error_code`` at all.

``docs/generate.py`` generates the OpenAPI components, the reference page and the TypeScript types
from ``CONTRACT``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from uuid import UUID

from pydantic import Field

from db.reads.agentcontract import (
    WorkspaceAgent,
    WorkspaceAgentHealth,
    WorkspaceAgentLogSource,
    WorkspaceAgentScript,
    WorkspaceApp,
    WorkspaceAppHealthcheck,
)
from db.reads.contractbase import ContractModel, EmptyList, UtcTime
from db.reads.counting import QUEUE_COUNT_LIMIT
from db.schema.enums import (
    BuildReason,
    JobErrorCode,
    JobStatus,
    JobType,
    LogLevel,
    LogSource,
    TimingStage,
    Transition,
)

__all__ = [
    "CONTRACT",
    "ContractModel",
    "MatchedProvisioners",
    "ProvisionerJob",
    "ProvisionerJobInput",
    "ProvisionerJobLog",
    "ProvisionerJobMetadata",
    "ProvisionerJobTimings",
    "ProvisionerTiming",
    "UtcTime",
    "WorkspaceAgent",
    "WorkspaceAgentHealth",
    "WorkspaceAgentLogSource",
    "WorkspaceAgentScript",
    "WorkspaceApp",
    "WorkspaceAppHealthcheck",
    "WorkspaceBuild",
    "WorkspaceQuota",
    "WorkspaceResource",
    "WorkspaceResourceMetadata",
    "WorkspaceStatus",
    "workspace_status",
]


class WorkspaceStatus(StrEnum):
    """What a workspace is doing, by the transition and the job of its latest build."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    CANCELING = "canceling"
    CANCELED = "canceled"
    DELETING = "deleting"
    DELETED = "deleted"


_WHILE_RUNNING = {
    Transition.START: WorkspaceStatus.STARTING,
    Transition.STOP: WorkspaceStatus.STOPPING,
    Transition.DELETE: WorkspaceStatus.DELETING,
}
_WHEN_SUCCEEDED = {
    Transition.START: WorkspaceStatus.RUNNING,
    Transition.STOP: WorkspaceStatus.STOPPED,
    Transition.DELETE: WorkspaceStatus.DELETED,
}
_OF_ANY_TRANSITION: Mapping[JobStatus, WorkspaceStatus] = {
    JobStatus.PENDING: WorkspaceStatus.PENDING,
    JobStatus.CANCELING: WorkspaceStatus.CANCELING,
    JobStatus.CANCELED: WorkspaceStatus.CANCELED,
    JobStatus.FAILED: WorkspaceStatus.FAILED,
    # A job whose status is unknown must not look like a success.
    JobStatus.UNKNOWN: WorkspaceStatus.FAILED,
}


def workspace_status(transition: Transition, job_status: JobStatus) -> WorkspaceStatus:
    """Return what a workspace is doing, by the transition and job status of its latest build."""
    if job_status is JobStatus.RUNNING:
        return _WHILE_RUNNING[transition]
    if job_status is JobStatus.SUCCEEDED:
        return _WHEN_SUCCEEDED[transition]
    return _OF_ANY_TRANSITION[job_status]


class ProvisionerJobInput(ContractModel):
    """What a job works on. Values of template variables are not shown: they may be secret."""

    template_version_id: UUID | None = Field(None, description="of an import or a dry run")
    workspace_build_id: UUID | None = Field(None, description="of a workspace build")
    error: str | None = Field(None, description="why the input could not be read")


class ProvisionerJobMetadata(ContractModel):
    """Names of the template and the workspace that a job works on."""

    template_version_name: str = Field(description="empty when there is no such version")
    template_id: UUID = Field(description="all zeros when there is no template yet")
    template_name: str
    template_display_name: str
    template_icon: str
    workspace_id: UUID | None = Field(None, description="of a workspace build")
    workspace_name: str | None = Field(None, description="of a workspace build")


class ProvisionerJob(ContractModel):
    """A job: one run of a template by a worker."""

    id: UUID
    created_at: UtcTime = Field(description="when it was enqueued")
    started_at: UtcTime | None = Field(None, description="when a worker claimed it")
    completed_at: UtcTime | None = Field(
        None, description="when it succeeded, failed or was canceled"
    )
    canceled_at: UtcTime | None = Field(None, description="when a cancel was requested")
    error: str | None = Field(None, description="why it failed, for people")
    error_code: JobErrorCode | None = Field(
        None, description="why it failed, for machines; absent if the failure is untagged"
    )
    status: JobStatus
    worker_id: UUID | None = Field(None, description="the worker that claimed it")
    worker_name: str | None = Field(None, description="that worker's name")
    file_id: UUID = Field(description="the template's source archive")
    tags: dict[str, str] = Field(description="tags that a worker must have to run it")
    queue_position: int = Field(
        description="1 for the next job to be claimed; 0 unless pending;"
        f" counted up to {QUEUE_COUNT_LIMIT}, which means that many or more"
    )
    queue_size: int = Field(
        description="number of pending jobs in its queue; 0 unless pending;"
        f" counted up to {QUEUE_COUNT_LIMIT}, which means that many or more"
    )
    organization_id: UUID
    initiator_id: UUID = Field(description="the user who asked for it")
    input: ProvisionerJobInput
    type: JobType
    available_workers: list[UUID] | None = Field(
        None, description="live workers that may claim it; absent if there are none, or not pending"
    )
    metadata: ProvisionerJobMetadata
    logs_overflowed: bool = Field(
        description="whether log lines were dropped because of the size limit"
    )


class ProvisionerJobLog(ContractModel):
    """One line of a job's log."""

    id: int = Field(description="increases with each line of a job")
    created_at: UtcTime
    log_source: LogSource
    log_level: LogLevel
    stage: str = Field(description="the log stage: a heading for people")
    output: str = Field(description="the text: at most 1024 characters, without a line end")


class ProvisionerTiming(ContractModel):
    """How long one step of Terraform took."""

    job_id: UUID
    started_at: UtcTime
    ended_at: UtcTime
    stage: TimingStage
    source: str = Field(description="the provider or tool that did it")
    action: str
    resource: str


class ProvisionerJobTimings(ContractModel):
    """How long each step of a build took."""

    provisioner_timings: list[ProvisionerTiming] = Field(description="sorted by start time")
    agent_script_timings: EmptyList = Field(description="always empty: agents do not run here")
    agent_connection_timings: EmptyList = Field(description="always empty: agents do not run here")


class WorkspaceResourceMetadata(ContractModel):
    """An item shown with a resource."""

    key: str
    value: str = Field(description="empty if it has none")
    sensitive: bool = Field(description="whether clients should hide it until asked for")


class WorkspaceResource(ContractModel):
    """A managed resource that a build left in the state."""

    id: UUID
    created_at: UtcTime
    job_id: UUID
    workspace_transition: Transition
    type: str = Field(description="Terraform's resource type")
    name: str
    hide: bool
    icon: str
    agents: list[WorkspaceAgent] | None = Field(None, description="absent when empty")
    metadata: list[WorkspaceResourceMetadata] | None = Field(None, description="absent when empty")
    daily_cost: int = Field(description="credits per day")


class MatchedProvisioners(ContractModel):
    """The live workers that may claim a pending job."""

    count: int = Field(description="workers that serve its queue, heard of or not")
    available: int = Field(description="those of them that were heard of lately")
    most_recently_seen: UtcTime | None = None


class WorkspaceBuild(ContractModel):
    """One transition of a workspace."""

    id: UUID
    created_at: UtcTime
    updated_at: UtcTime
    workspace_id: UUID
    workspace_name: str
    workspace_owner_id: UUID
    workspace_owner_name: str = Field(description="the owner's username")
    workspace_owner_avatar_url: str | None = None
    template_version_id: UUID
    template_version_name: str
    build_number: int = Field(description="1 for a workspace's first build")
    transition: Transition
    initiator_id: UUID
    initiator_name: str = Field(description="the initiator's username")
    job: ProvisionerJob
    reason: BuildReason
    resources: list[WorkspaceResource] = Field(description="empty until the job has ended")
    deadline: UtcTime | None = Field(
        None, description="when the workspace is stopped automatically"
    )
    max_deadline: UtcTime | None = Field(None, description="the latest possible deadline")
    status: WorkspaceStatus
    daily_cost: int = Field(description="credits per day, as charged by the quota commit")
    template_version_preset_id: UUID | None = Field(
        None, description="the preset that its values are of"
    )
    has_ai_task: bool | None = Field(None, description="whether it has a task for an AI agent")
    has_external_agent: bool | None = Field(
        None, description="whether an agent runs on a machine that the template does not make"
    )
    matched_provisioners: MatchedProvisioners | None = Field(
        None, description="only in the answer that enqueues it: clients warn if nobody can run it"
    )


class WorkspaceQuota(ContractModel):
    """The quota of a member in one organization."""

    credits_consumed: int = Field(description="credits per day that the member's workspaces cost")
    budget: int = Field(description="credits per day that the member's groups give")


CONTRACT: tuple[type[ContractModel], ...] = (
    ProvisionerJob,
    ProvisionerJobInput,
    ProvisionerJobMetadata,
    ProvisionerJobLog,
    ProvisionerTiming,
    ProvisionerJobTimings,
    MatchedProvisioners,
    WorkspaceBuild,
    WorkspaceResource,
    WorkspaceResourceMetadata,
    WorkspaceAgent,
    WorkspaceAgentHealth,
    WorkspaceAgentLogSource,
    WorkspaceAgentScript,
    WorkspaceApp,
    WorkspaceAppHealthcheck,
    WorkspaceQuota,
)
"""The models of the contract, in the order of the generated reference."""
