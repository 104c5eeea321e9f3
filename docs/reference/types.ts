// TypeScript types of job rows. Made from db/reads/contract.py by `make generate`: do not edit.
// made from: sha256:afa2cdd999f14277bac6bae9d3c1544fe4e800719a41e4ea4f39cbed70b70927
// text: sha256:7da62c614ba5e2535469c172431d94a9666185898ebc4b7c398a997fb283fc32

export type AnyOfTheContract =
  | BuildReason
  | JobErrorCode
  | JobStatus
  | JobType
  | LogLevel
  | LogSource
  | ProvisionerJob
  | ProvisionerJobInput
  | ProvisionerJobLog
  | ProvisionerJobMetadata
  | ProvisionerJobTimings
  | ProvisionerTiming
  | TimingStage
  | Transition
  | WorkspaceBuild
  | WorkspaceQuota
  | WorkspaceResource
  | WorkspaceResourceMetadata
  | WorkspaceStatus;
/**
 * Why a build was enqueued.
 */
export type BuildReason = "initiator" | "autostart" | "autostop" | "dormancy" | "autodelete";
/**
 * Why a job failed, where a machine is to tell it apart. Untagged failures have none.
 */
export type JobErrorCode =
  "MISSING_TEMPLATE_PARAMETER" | "REQUIRED_TEMPLATE_VARIABLES" | "INSUFFICIENT_QUOTA";
/**
 * Where a provisioner job stands. Derived by PostgreSQL, never written (see ``job_status``).
 */
export type JobStatus =
  "pending" | "running" | "succeeded" | "canceling" | "canceled" | "failed" | "unknown";
/**
 * What a provisioner job does.
 */
export type JobType = "template_version_import" | "workspace_build" | "template_version_dry_run";
/**
 * How loud a log line is.
 */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";
/**
 * Who wrote a log line: the daemon itself or the engine that it runs.
 */
export type LogSource = "provisioner_daemon" | "provisioner";
/**
 * The Terraform operation that a timing belongs to.
 */
export type TimingStage = "init" | "plan" | "graph" | "apply";
/**
 * What a workspace build makes of the workspace.
 */
export type Transition = "start" | "stop" | "delete";
/**
 * What a workspace is doing, by the transition and the job of its latest build.
 */
export type WorkspaceStatus =
  | "pending"
  | "starting"
  | "running"
  | "stopping"
  | "stopped"
  | "failed"
  | "canceling"
  | "canceled"
  | "deleting"
  | "deleted";

/**
 * A job: one run of a template by a worker.
 */
export interface ProvisionerJob {
  id: string;
  /**
   * when it was enqueued
   */
  created_at: string;
  /**
   * when a worker claimed it
   */
  started_at?: string;
  /**
   * when it ended, in whatever way
   */
  completed_at?: string;
  /**
   * when a cancel was requested
   */
  canceled_at?: string;
  /**
   * why it failed, for people
   */
  error?: string;
  /**
   * why it failed, for machines; absent when the failure is untagged
   */
  error_code?: JobErrorCode;
  status: JobStatus;
  /**
   * the worker that claimed it
   */
  worker_id?: string;
  /**
   * that worker's name
   */
  worker_name?: string;
  /**
   * the template's source archive
   */
  file_id: string;
  /**
   * what a worker must have to run it
   */
  tags: {
    [k: string]: string;
  };
  /**
   * 1 for the next to be claimed; 0 unless pending; counted up to 10000, which means that or more
   */
  queue_position: number;
  /**
   * pending jobs of its queue; 0 unless pending; counted up to 10000, which means that or more
   */
  queue_size: number;
  organization_id: string;
  /**
   * the user who asked for it
   */
  initiator_id: string;
  input: ProvisionerJobInput;
  type: JobType;
  /**
   * live workers that may claim it; absent unless pending and there are some
   */
  available_workers?: string[];
  metadata: ProvisionerJobMetadata;
  /**
   * whether log lines were left out for size
   */
  logs_overflowed: boolean;
}
/**
 * What a job works on. Values of template variables, which may be secret, are not shown.
 */
export interface ProvisionerJobInput {
  /**
   * of an import or a dry run
   */
  template_version_id?: string;
  /**
   * of a workspace build
   */
  workspace_build_id?: string;
  /**
   * why the input cannot be read
   */
  error?: string;
}
/**
 * The names of what a job works on.
 */
export interface ProvisionerJobMetadata {
  /**
   * empty when there is no such version
   */
  template_version_name: string;
  /**
   * all zeros when there is no template yet
   */
  template_id: string;
  template_name: string;
  template_display_name: string;
  template_icon: string;
  /**
   * of a workspace build
   */
  workspace_id?: string;
  /**
   * of a workspace build
   */
  workspace_name?: string;
}
/**
 * One line of a job's log.
 */
export interface ProvisionerJobLog {
  /**
   * grows from line to line within a job
   */
  id: number;
  created_at: string;
  log_source: LogSource;
  log_level: LogLevel;
  /**
   * the step of the build, for people
   */
  stage: string;
  /**
   * at most 1024 characters, without a line end
   */
  output: string;
}
/**
 * Where the time of a build went.
 */
export interface ProvisionerJobTimings {
  /**
   * by their start
   */
  provisioner_timings: ProvisionerTiming[];
  /**
   * empty: agents are not run here
   *
   * @minItems 0
   * @maxItems 0
   */
  agent_script_timings: [];
  /**
   * empty: agents are not run here
   *
   * @minItems 0
   * @maxItems 0
   */
  agent_connection_timings: [];
}
/**
 * How long one step of Terraform took.
 */
export interface ProvisionerTiming {
  job_id: string;
  started_at: string;
  ended_at: string;
  stage: TimingStage;
  /**
   * the provider, or what else did it
   */
  source: string;
  action: string;
  resource: string;
}
/**
 * One transition of a workspace.
 */
export interface WorkspaceBuild {
  id: string;
  created_at: string;
  updated_at: string;
  workspace_id: string;
  workspace_name: string;
  workspace_owner_id: string;
  /**
   * the owner's username
   */
  workspace_owner_name: string;
  workspace_owner_avatar_url?: string;
  template_version_id: string;
  template_version_name: string;
  /**
   * 1 for a workspace's first build
   */
  build_number: number;
  transition: Transition;
  initiator_id: string;
  /**
   * the initiator's username
   */
  initiator_name: string;
  job: ProvisionerJob;
  reason: BuildReason;
  /**
   * empty until the job has ended
   */
  resources: WorkspaceResource[];
  /**
   * when the workspace is stopped by itself
   */
  deadline?: string;
  /**
   * how far the deadline can be moved
   */
  max_deadline?: string;
  status: WorkspaceStatus;
  /**
   * credits per day that the quota commit charged
   */
  daily_cost: number;
}
/**
 * A managed resource that a build left in the state.
 */
export interface WorkspaceResource {
  id: string;
  created_at: string;
  job_id: string;
  workspace_transition: Transition;
  /**
   * Terraform's resource type
   */
  type: string;
  name: string;
  hide: boolean;
  icon: string;
  /**
   * absent when empty
   */
  metadata?: WorkspaceResourceMetadata[];
  /**
   * credits per day
   */
  daily_cost: number;
}
/**
 * One item shown with a resource.
 */
export interface WorkspaceResourceMetadata {
  key: string;
  /**
   * empty when there is none
   */
  value: string;
  /**
   * whether it is to be hidden until asked for
   */
  sensitive: boolean;
}
/**
 * The quota of a member in one organization.
 */
export interface WorkspaceQuota {
  /**
   * credits per day of all of the member's workspaces
   */
  credits_consumed: number;
  /**
   * credits per day that the member's groups allow
   */
  budget: number;
}
