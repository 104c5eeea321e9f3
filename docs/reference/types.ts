// TypeScript types of job rows. Made from db/reads/contract.py by `make generate`: do not edit.
// made from: sha256:a2f21ae89c3199735b9576ff07ca6beb16fef4f6a366467f1822a5d5ce7882b3
// text: sha256:79979e91d56284a9c5365f2cda33bf58414344818133a69e999bb61bdc1774e2

export type AnyOfTheContract =
  | AgentLifecycleState
  | AgentStatus
  | AppHealth
  | AppOpenIn
  | AppSharingLevel
  | BuildReason
  | DisplayApp
  | JobErrorCode
  | JobStatus
  | JobType
  | LogLevel
  | LogSource
  | MatchedProvisioners
  | ProvisionerJob
  | ProvisionerJobInput
  | ProvisionerJobLog
  | ProvisionerJobMetadata
  | ProvisionerJobTimings
  | ProvisionerTiming
  | StartupScriptBehavior
  | TimingStage
  | Transition
  | WorkspaceAgent
  | WorkspaceAgentHealth
  | WorkspaceAgentLogSource
  | WorkspaceAgentScript
  | WorkspaceApp
  | WorkspaceAppHealthcheck
  | WorkspaceBuild
  | WorkspaceQuota
  | WorkspaceResource
  | WorkspaceResourceMetadata
  | WorkspaceStatus;
/**
 * How far an agent is with its scripts. The process that serves the agents writes it.
 */
export type AgentLifecycleState =
  | "created"
  | "starting"
  | "start_timeout"
  | "start_error"
  | "ready"
  | "shutting_down"
  | "shutdown_timeout"
  | "shutdown_error"
  | "off";
/**
 * Whether an agent is connected to the process that serves agents.
 */
export type AgentStatus = "connecting" | "connected" | "disconnected" | "timeout";
/**
 * What the health check of an app says. The process that serves the agents writes it.
 */
export type AppHealth = "disabled" | "initializing" | "healthy" | "unhealthy";
/**
 * How a browser opens an app.
 */
export type AppOpenIn = "tab" | "slim-window";
/**
 * Who may open an app.
 */
export type AppSharingLevel = "owner" | "authenticated" | "public";
/**
 * Why a build was enqueued.
 */
export type BuildReason =
  | "initiator"
  | "autostart"
  | "autostop"
  | "dormancy"
  | "autodelete"
  | "dashboard"
  | "cli"
  | "ssh_connection"
  | "vscode_connection"
  | "jetbrains_connection"
  | "task_auto_pause"
  | "task_manual_pause"
  | "task_resume";
/**
 * What a user sees of an agent besides its own apps.
 */
export type DisplayApp =
  "vscode" | "vscode_insiders" | "web_terminal" | "ssh_helper" | "port_forwarding_helper";
/**
 * Why a job failed, for callers that must distinguish it. Untagged failures have no code.
 */
export type JobErrorCode =
  "MISSING_TEMPLATE_PARAMETER" | "REQUIRED_TEMPLATE_VARIABLES" | "INSUFFICIENT_QUOTA";
/**
 * The status of a provisioner job, derived by PostgreSQL from other columns, never written.
 */
export type JobStatus =
  "pending" | "running" | "succeeded" | "canceling" | "canceled" | "failed" | "unknown";
/**
 * What a provisioner job does.
 */
export type JobType = "template_version_import" | "workspace_build" | "template_version_dry_run";
/**
 * The severity of a log line.
 */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";
/**
 * Who wrote a log line: the daemon or the engine.
 */
export type LogSource = "provisioner_daemon" | "provisioner";
/**
 * The Terraform operation that a timing belongs to.
 */
export type TimingStage = "init" | "plan" | "graph" | "apply";
/**
 * Whether a user waits for the scripts of the start before they log in.
 */
export type StartupScriptBehavior = "blocking" | "non-blocking";
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
 * The live workers that may claim a pending job.
 */
export interface MatchedProvisioners {
  /**
   * workers that serve its queue, heard of or not
   */
  count: number;
  /**
   * those of them that were heard of lately
   */
  available: number;
  most_recently_seen?: string;
}
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
   * when it succeeded, failed or was canceled
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
   * why it failed, for machines; absent if the failure is untagged
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
   * tags that a worker must have to run it
   */
  tags: {
    [k: string]: string;
  };
  /**
   * 1 for the next job to be claimed; 0 unless pending; counted up to 10000, which means that many or more
   */
  queue_position: number;
  /**
   * number of pending jobs in its queue; 0 unless pending; counted up to 10000, which means that many or more
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
   * live workers that may claim it; absent if there are none, or not pending
   */
  available_workers?: string[];
  metadata: ProvisionerJobMetadata;
  /**
   * whether log lines were dropped because of the size limit
   */
  logs_overflowed: boolean;
}
/**
 * What a job works on. Values of template variables are not shown: they may be secret.
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
   * why the input could not be read
   */
  error?: string;
}
/**
 * Names of the template and the workspace that a job works on.
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
   * increases with each line of a job
   */
  id: number;
  created_at: string;
  log_source: LogSource;
  log_level: LogLevel;
  /**
   * the log stage: a heading for people
   */
  stage: string;
  /**
   * the text: at most 1024 characters, without a line end
   */
  output: string;
}
/**
 * How long each step of a build took.
 */
export interface ProvisionerJobTimings {
  /**
   * sorted by start time
   */
  provisioner_timings: ProvisionerTiming[];
  /**
   * always empty: agents do not run here
   *
   * @maxItems 0
   */
  agent_script_timings: unknown[];
  /**
   * always empty: agents do not run here
   *
   * @maxItems 0
   */
  agent_connection_timings: unknown[];
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
   * the provider or tool that did it
   */
  source: string;
  action: string;
  resource: string;
}
/**
 * The program inside of a workspace that connects it to the platform.
 */
export interface WorkspaceAgent {
  id: string;
  /**
   * of a development container: the agent next to which it runs
   */
  parent_id?: string;
  created_at: string;
  updated_at: string;
  first_connected_at?: string;
  last_connected_at?: string;
  disconnected_at?: string;
  started_at?: string;
  ready_at?: string;
  status: AgentStatus;
  lifecycle_state: AgentLifecycleState;
  name: string;
  resource_id: string;
  /**
   * of the machine, if it signs in by its cloud
   */
  instance_id?: string;
  architecture: string;
  operating_system: string;
  environment_variables: {
    [k: string]: string;
  };
  directory: string;
  expanded_directory: string;
  /**
   * of the agent; empty before it connects
   */
  version: string;
  api_version: string;
  /**
   * 0 is for ever
   */
  connection_timeout_seconds: number;
  troubleshooting_url: string;
  health: WorkspaceAgentHealth;
  /**
   * what is shown besides its own apps
   */
  display_apps: DisplayApp[];
  apps: WorkspaceApp[];
  scripts: WorkspaceAgentScript[];
  log_sources: WorkspaceAgentLogSource[];
  startup_script_behavior: StartupScriptBehavior;
  /**
   * always empty: agents do not connect here
   */
  subsystems: string[];
  /**
   * always 0: agents do not connect here
   */
  logs_length: number;
  /**
   * always false: agents do not connect here
   */
  logs_overflowed: boolean;
}
/**
 * Whether an agent is in order.
 */
export interface WorkspaceAgentHealth {
  healthy: boolean;
  /**
   * why not, for people
   */
  reason?: string;
}
/**
 * A program that the user of a workspace opens, by a link or a command.
 */
export interface WorkspaceApp {
  id: string;
  /**
   * its name in links, unique in the template
   */
  slug: string;
  display_name: string;
  icon: string;
  url?: string;
  command?: string;
  /**
   * whether the link leads out of the workspace
   */
  external: boolean;
  /**
   * whether it is served on a domain of its own
   */
  subdomain: boolean;
  sharing_level: AppSharingLevel;
  healthcheck: WorkspaceAppHealthcheck;
  health: AppHealth;
  /**
   * a heading above several apps
   */
  group?: string;
  hidden: boolean;
  open_in: AppOpenIn;
  tooltip?: string;
}
/**
 * How the health of an app is checked.
 */
export interface WorkspaceAppHealthcheck {
  /**
   * empty if it is not checked
   */
  url: string;
  /**
   * seconds between two checks
   */
  interval: number;
  /**
   * failed checks in a row until the app is unhealthy
   */
  threshold: number;
}
/**
 * A script that an agent runs when the workspace starts or stops, or at times.
 */
export interface WorkspaceAgentScript {
  id: string;
  log_source_id: string;
  display_name: string;
  log_path: string;
  script: string;
  /**
   * when it runs, in six fields; empty if at no time of its own
   */
  cron: string;
  run_on_start: boolean;
  run_on_stop: boolean;
  start_blocks_login: boolean;
  /**
   * nanoseconds; 0 is for ever
   */
  timeout: number;
}
/**
 * Where lines of an agent's log come from.
 */
export interface WorkspaceAgentLogSource {
  workspace_agent_id: string;
  id: string;
  created_at: string;
  display_name: string;
  icon: string;
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
   * when the workspace is stopped automatically
   */
  deadline?: string;
  /**
   * the latest possible deadline
   */
  max_deadline?: string;
  status: WorkspaceStatus;
  /**
   * credits per day, as charged by the quota commit
   */
  daily_cost: number;
  /**
   * the preset that its values are of
   */
  template_version_preset_id?: string;
  /**
   * whether it has a task for an AI agent
   */
  has_ai_task?: boolean;
  /**
   * whether an agent runs on a machine that the template does not make
   */
  has_external_agent?: boolean;
  /**
   * only in the answer that enqueues it: clients warn if nobody can run it
   */
  matched_provisioners?: MatchedProvisioners;
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
  agents?: WorkspaceAgent[];
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
 * An item shown with a resource.
 */
export interface WorkspaceResourceMetadata {
  key: string;
  /**
   * empty if it has none
   */
  value: string;
  /**
   * whether clients should hide it until asked for
   */
  sensitive: boolean;
}
/**
 * The quota of a member in one organization.
 */
export interface WorkspaceQuota {
  /**
   * credits per day that the member's workspaces cost
   */
  credits_consumed: number;
  /**
   * credits per day that the member's groups give
   */
  budget: number;
}
