// TypeScript types of the HTTP API. Made from its routes in api/ by `make generate`: do not edit.
// made from: sha256:8fe70183e440389c3da1f10e6ffda6c2636248215edb8f146c545e908a52e1fd
// text: sha256:18bc146e7b5091179f924b74693a8fdf1836ab2c28d7c1a6c174970f16550da0

import type {
  JobErrorCode,
  JobStatus,
  JobType,
  MatchedProvisioners,
  ProvisionerJob,
  Transition,
  WorkspaceBuild,
} from "./types";

export type AnyOfTheContract =
  | Allowance
  | ArchiveVersions
  | ArchivedVersions
  | AuditListing
  | AuditLog
  | AuditLogs
  | AuthChecks
  | AutomaticUpdates
  | AutostartRequirement
  | AutostopRequirement
  | BuildInfo
  | BuildTimeStats
  | CanceledJob
  | CanceledJobs
  | ChangedLimit
  | CircuitListing
  | ClosedCircuits
  | CreateBuild
  | CreateGroup
  | CreateOrganization
  | CreateTemplate
  | CreateToken
  | CreateUser
  | CreateVersion
  | CreateWebhook
  | CreateWorkspace
  | DaemonJob
  | Dormancy
  | Drained
  | DryRun
  | EditTemplate
  | EditVersion
  | EditWorkspace
  | Event
  | EventType
  | Events
  | Explanation
  | Extension
  | Forecast
  | ForecastOfUser
  | GivenValue
  | Group
  | GroupAllowance
  | GroupListing
  | Job
  | JobDetails
  | JobMatches
  | Jobs
  | Limit
  | LimitValue
  | Login
  | Match
  | Member
  | MemberRoles
  | Message
  | MinimalUser
  | ModuleRow
  | NameValue
  | NewKey
  | NewLimit
  | NewWebhook
  | Organization
  | OrganizationListing
  | OrganizationRole
  | ParameterOption
  | ParameterRow
  | Pause
  | Preset
  | PresetRow
  | Promote
  | ProvisionerDaemon
  | ProvisionerType
  | PushState
  | PushTemplate
  | Pushed
  | Queue
  | QueueDepth
  | QuotaDetails
  | QuotaForecast
  | QuotaOfUser
  | Refusal
  | Replayed
  | ResourceRow
  | RetriedJob
  | RetriedJobs
  | Role
  | Schedule
  | ShownParameter
  | ShownResource
  | ShownToken
  | ShownWorkspace
  | SiteRole
  | SiteRoles
  | StageDuration
  | Template
  | TemplateListing
  | TemplateVersion
  | TemplateVersionParameter
  | TemplateVersionVariable
  | TimeToLive
  | TokenListing
  | Updates
  | Uploaded
  | User
  | UserListing
  | UserQuota
  | UserStatus
  | Users
  | Validation
  | VariableRow
  | VersionDetails
  | VersionListing
  | Webhook
  | WebhookListing
  | WorkerListing
  | WorkerMatch
  | Workspace
  | WorkspaceConsumption
  | WorkspaceHealth
  | WorkspaceListing
  | Workspaces;
/**
 * Whether a workspace is updated to the active version of its template automatically.
 */
export type AutomaticUpdates = "always" | "never";
/**
 * What is limited.
 */
export type Limit =
  | "builds_per_owner"
  | "workspaces_per_owner"
  | "workspaces_per_chat"
  | "workspaces_of_agents"
  | "automatic_failures"
  | "personal_failures";
/**
 * A role in the whole site (``users.rbac_roles``). Every user is a member, too.
 */
export type SiteRole = "owner" | "template-admin" | "user-admin" | "auditor";
/**
 * Which engine runs a template.
 */
export type ProvisionerType = "echo" | "terraform";
/**
 * What happened.
 */
export type EventType =
  | "job.succeeded"
  | "job.failed"
  | "job.canceled"
  | "workspace.created"
  | "workspace.updated"
  | "workspace.deleted"
  | "webhook.test";
/**
 * Whether a user may build; only active users may.
 */
export type UserStatus = "active" | "suspended" | "dormant";
/**
 * A role in one organization (``organization_members.roles``).
 */
export type OrganizationRole =
  | "organization-admin"
  | "organization-template-admin"
  | "organization-user-admin"
  | "organization-auditor"
  | "organization-workspace-creation-ban";

/**
 * What a group gives each member.
 */
export interface Allowance {
  /**
   * credits per day for each member
   */
  quota_allowance: number;
}
/**
 * Which unused versions to archive.
 */
export interface ArchiveVersions {
  /**
   * not only those whose import failed
   */
  all?: boolean;
}
/**
 * The versions that were archived.
 */
export interface ArchivedVersions {
  template_id: string;
  archived_ids: string[];
}
/**
 * A change that a person made.
 */
export interface AuditListing {
  id: string;
  time: string;
  username: string;
  user_id: string | null;
  organization: string | null;
  action: string;
  resource_type: string;
  resource_id: string;
  resource_target: string;
  diff: {
    [k: string]: unknown;
  };
  additional_fields: {
    [k: string]: unknown;
  };
}
/**
 * A change that somebody made.
 */
export interface AuditLog {
  id: string;
  time: string;
  /**
   * absent: a user of the operating system
   */
  user_id?: string | null;
  username: string;
  /**
   * all zeros: a change to the whole site
   */
  organization_id: string;
  resource_type: string;
  resource_id: string;
  resource_target: string;
  action: string;
  diff: {
    [k: string]: unknown;
  };
  additional_fields: {
    [k: string]: unknown;
  };
}
/**
 * A page of the audit log.
 */
export interface AuditLogs {
  audit_logs: AuditLog[];
  /**
   * number of changes on all pages, at most 10000
   */
  count: number;
}
/**
 * Questions about rights, by a key of the client's choice.
 */
export interface AuthChecks {
  checks?: {
    [k: string]: {
      [k: string]: unknown;
    };
  };
}
/**
 * On which days workspaces may start automatically.
 */
export interface AutostartRequirement {
  days_of_week?: string[];
}
/**
 * When workspaces must stop. There is no such requirement here.
 */
export interface AutostopRequirement {
  days_of_week?: string[];
  weeks?: number;
}
/**
 * The version of the server.
 */
export interface BuildInfo {
  external_url: string;
  version: string;
  dashboard_url: string;
  telemetry?: boolean;
  workspace_proxy?: boolean;
  agent_api_version?: string;
  provisioner_api_version?: string;
  upgrade_message?: string;
  deployment_id?: string;
}
/**
 * How long builds of a template take. Not measured here, so both are null.
 */
export interface BuildTimeStats {
  P50?: number | null;
  P95?: number | null;
}
/**
 * A canceled job, and its status now.
 */
export interface CanceledJob {
  id: string;
  status: JobStatus;
}
/**
 * The jobs that were canceled, and those that were not.
 */
export interface CanceledJobs {
  done: CanceledJob[];
  refused: Refusal[];
}
/**
 * A job that was left as it is, and why.
 */
export interface Refusal {
  id: string;
  reason: string;
}
/**
 * A limit, and what it was before; absent: any number.
 */
export interface ChangedLimit {
  name: Limit;
  allowed?: number | null;
  before?: number | null;
}
/**
 * The failures in a row of a template version's starts for one reason.
 */
export interface CircuitListing {
  template: string;
  version: string;
  organization: string;
  template_version_id: string;
  reason: string;
  state: string;
  failures: number;
  open_until: string | null;
  last_failed_at: string;
  last_job_id: string | null;
}
/**
 * The reasons of the circuits that were closed.
 */
export interface ClosedCircuits {
  reasons: string[];
}
/**
 * A build of a workspace.
 */
export interface CreateBuild {
  /**
   * @maxItems 1000
   */
  rich_parameter_values?: GivenValue[];
  /**
   * refused for parameters that keep their values
   *
   * @maxItems 1000
   */
  ephemeral_parameter_values?: GivenValue[];
  template_version_preset_id?: string | null;
  /**
   * its name, if it is not named by its id
   */
  preset?: string;
  template_version_id?: string | null;
  /**
   * the version, if not named by its id
   */
  template_version_name?: string;
  /**
   * build from the active version
   */
  update?: boolean;
  transition: Transition;
  dry_run?: boolean;
  state?: string | null;
  orphan?: boolean | null;
  log_level?: string;
  reason?:
    | (
        | "dashboard"
        | "cli"
        | "ssh_connection"
        | "vscode_connection"
        | "jetbrains_connection"
        | "task_manual_pause"
      )
    | "";
}
/**
 * The value of a parameter or of a variable.
 */
export interface GivenValue {
  name: string;
  value: string;
}
/**
 * A new group.
 */
export interface CreateGroup {
  name: string;
  /**
   * credits per day for each member
   */
  quota_allowance?: number;
}
/**
 * A new organization.
 */
export interface CreateOrganization {
  name: string;
  /**
   * credits per day for each member
   */
  everyone_allowance?: number;
}
/**
 * A template, with its first version.
 */
export interface CreateTemplate {
  name: string;
  template_version_id: string;
  display_name?: string;
  description?: string;
  icon?: string;
  allow_user_cancel_workspace_jobs?: boolean | null;
  require_active_version?: boolean;
  default_ttl_ms?: number | null;
  activity_bump_ms?: number | null;
}
/**
 * A token for oneself or, by an owner, for another user.
 */
export interface CreateToken {
  /**
   * nanoseconds; 0 means the default
   */
  lifetime?: number;
  token_name?: string;
  /**
   * read, build, operate or admin
   */
  scope?: string;
  /**
   * @maxItems 20
   */
  scopes?: string[];
}
/**
 * A new user.
 */
export interface CreateUser {
  email: string;
  username: string;
  name?: string;
  /**
   * @maxItems 100
   */
  organization_ids?: string[];
  /**
   * @maxItems 20
   */
  roles?: SiteRole[];
}
/**
 * A new version of a template, or of none yet.
 */
export interface CreateVersion {
  name?: string;
  message?: string;
  template_id?: string | null;
  storage_method?: string;
  file_id?: string | null;
  example_id?: string;
  provisioner: ProvisionerType;
  tags?: {
    [k: string]: string;
  };
  /**
   * @maxItems 1000
   */
  user_variable_values?: GivenValue[];
}
/**
 * An address that events are sent to.
 */
export interface CreateWebhook {
  url: string;
  /**
   * events of this organization; absent: of all, for owners
   */
  organization_id?: string | null;
  /**
   * empty: all
   *
   * @maxItems 20
   */
  types?: EventType[];
}
/**
 * A workspace, with its first build.
 */
export interface CreateWorkspace {
  /**
   * @maxItems 1000
   */
  rich_parameter_values?: GivenValue[];
  /**
   * refused for parameters that keep their values
   *
   * @maxItems 1000
   */
  ephemeral_parameter_values?: GivenValue[];
  template_version_preset_id?: string | null;
  /**
   * its name, if it is not named by its id
   */
  preset?: string;
  template_id?: string | null;
  template_version_id?: string | null;
  name: string;
  autostart_schedule?: string | null;
  ttl_ms?: number | null;
  automatic_updates?: AutomaticUpdates | null;
}
/**
 * A job that a worker runs or ran last.
 */
export interface DaemonJob {
  id: string;
  status: string;
  template_name: string;
  template_icon: string;
  template_display_name: string;
}
/**
 * Whether the workspace is dormant.
 */
export interface Dormancy {
  dormant: boolean;
}
/**
 * The builds that a drained worker still runs.
 */
export interface Drained {
  builds: number;
}
/**
 * The values to plan with. Coder's clients only plan new workspaces, without a preset.
 */
export interface DryRun {
  workspace_name?: string;
  /**
   * plan the next start of this workspace
   */
  workspace_id?: string | null;
  template_version_preset_id?: string | null;
  /**
   * @maxItems 1000
   */
  rich_parameter_values?: GivenValue[];
  /**
   * @maxItems 1000
   */
  user_variable_values?: GivenValue[];
}
/**
 * Changes to a template; a field that is absent or null stays as it is.
 */
export interface EditTemplate {
  name?: string | null;
  display_name?: string | null;
  description?: string | null;
  icon?: string | null;
  allow_user_cancel_workspace_jobs?: boolean | null;
  require_active_version?: boolean | null;
  default_ttl_ms?: number | null;
  activity_bump_ms?: number | null;
  deprecation_message?: string | null;
  disable_module_cache?: boolean | null;
}
/**
 * A new name or message of a template version.
 */
export interface EditVersion {
  name?: string;
  message?: string | null;
}
/**
 * A new name of a workspace.
 */
export interface EditWorkspace {
  name?: string;
}
/**
 * Something that happened.
 */
export interface Event {
  /**
   * its position: pass it as `after` or `Last-Event-ID` to go on
   */
  id: string;
  time: string;
  /**
   * such as job.failed or workspace.created
   */
  type: string;
  organization_id: string;
  /**
   * ids and names of what it is about
   */
  data: {
    [k: string]: unknown;
  };
}
/**
 * A page of events, oldest first.
 */
export interface Events {
  events: Event[];
  after: string;
}
/**
 * Why a job waits.
 */
export interface Explanation {
  id: string;
  status: JobStatus;
  queue: string;
  tags: {
    [k: string]: string;
  };
  queue_position: number;
  queue_size: number;
  verdict: string;
  workers: WorkerMatch[];
}
/**
 * Whether one worker can run a job, and if not, why.
 */
export interface WorkerMatch {
  worker: string;
  status: string;
  matches: boolean;
  missing_tags: {
    [k: string]: string;
  };
  reason: string;
}
/**
 * Until when a workspace should run.
 */
export interface Extension {
  deadline: string;
}
/**
 * What a start would cost, and whether the quota would allow it now.
 */
export interface Forecast {
  /**
   * credits per day, with the template's default values
   */
  daily_cost: number;
  credits_consumed: number;
  budget: number;
  allowed: boolean;
}
/**
 * What the quota would decide about a build of a user.
 */
export interface ForecastOfUser {
  user: string;
  forecast: QuotaForecast;
}
/**
 * What the quota commit would decide now, with its figures in credits per day.
 */
export interface QuotaForecast {
  ok: boolean;
  budget: number;
  credits_consumed: number;
  daily_cost: number;
}
/**
 * A group, and what it gives each member.
 */
export interface Group {
  id: string;
  organization_id: string;
  name: string;
  /**
   * credits per day for each member
   */
  quota_allowance: number;
}
/**
 * The allowance that the owner gets from one group.
 */
export interface GroupAllowance {
  group: string;
  quota_allowance: number;
}
/**
 * A group, its allowance, and its members.
 */
export interface GroupListing {
  id: string;
  name: string;
  organization_name: string;
  quota_allowance: number;
  members: string[];
}
/**
 * A job, with the names of what it works on. Fields of a build are None for other jobs.
 */
export interface Job {
  id: string;
  type: JobType;
  status: JobStatus;
  provisioner: ProvisionerType;
  queue: string;
  tags: {
    [k: string]: string;
  };
  input: {
    [k: string]: unknown;
  };
  file_id: string;
  stage: string | null;
  attempt: number;
  drains: number;
  error: string | null;
  error_code: JobErrorCode | null;
  failure_reason: string | null;
  logs_overflowed: boolean;
  organization_id: string;
  created_at: string;
  started_at: string | null;
  canceled_at: string | null;
  completed_at: string | null;
  worker_id: string | null;
  worker_name: string | null;
  initiator_id: string;
  initiator_name: string;
  queue_position: number;
  queue_size: number;
  available_workers: string[];
  template_version_name: string;
  template_id: string | null;
  template_name: string;
  template_display_name: string;
  template_icon: string;
  workspace_id: string | null;
  workspace_name: string | null;
  workspace_owner_name: string | null;
  workspace_build_id: string | null;
  build_number: number | null;
  transition: Transition | null;
  daily_cost: number;
  quota_budget: number | null;
  quota_credits_consumed: number | null;
  is_queue_paused?: boolean;
  is_version_failing?: boolean;
}
/**
 * A job, and how long it spent in the queue and in each stage.
 */
export interface JobDetails {
  job: Job;
  durations: StageDuration[];
}
/**
 * The time that a job spent in the queue or in one stage.
 */
export interface StageDuration {
  stage: string;
  started_at: string;
  seconds: number;
}
/**
 * A job, and whether each worker could run it.
 */
export interface JobMatches {
  job: Job;
  matches: Match[];
}
/**
 * Whether one worker can run a job, and if not, why.
 */
export interface Match {
  worker: string;
  status: string;
  matches: boolean;
  missing_tags: {
    [k: string]: string;
  };
  reason: string;
}
/**
 * The jobs to change.
 */
export interface Jobs {
  /**
   * @minItems 1
   * @maxItems 100
   */
  ids: [string, ...string[]];
}
/**
 * A limit, and what it is unless somebody changes it.
 */
export interface LimitValue {
  name: string;
  allowed: number | null;
  default: number | null;
}
/**
 * Refused: there are no passwords here.
 */
export interface Login {
  email?: string;
  password?: string;
}
/**
 * A member of an organization.
 */
export interface Member {
  user_id: string;
  organization_id: string;
  created_at: string;
  updated_at: string;
  username: string;
  name: string;
  email: string;
  avatar_url: string;
  status: UserStatus;
  login_type?: string;
  last_seen_at?: string;
  user_created_at: string;
  user_updated_at: string;
  roles: Role[];
  global_roles: Role[];
  has_ai_seat?: boolean;
}
/**
 * A role, and the organization in which it counts.
 */
export interface Role {
  name: string;
  display_name: string;
  /**
   * absent: a role of the whole site
   */
  organization_id?: string | null;
}
/**
 * The roles that a member has in an organization.
 */
export interface MemberRoles {
  /**
   * @maxItems 20
   */
  roles: OrganizationRole[];
}
/**
 * The envelope of errors, and of answers that only say that something was done.
 */
export interface Message {
  message: string;
  detail?: string | null;
  validations?: Validation[] | null;
  /**
   * in the words of the command line
   */
  reason?: string | null;
}
/**
 * What is wrong with one field of a request.
 */
export interface Validation {
  field: string;
  detail: string;
  /**
   * a value is needed
   */
  is_missing?: boolean | null;
}
/**
 * Who made something.
 */
export interface MinimalUser {
  id: string;
  username: string;
  name?: string;
  avatar_url?: string;
}
/**
 * A module that the template calls.
 */
export interface ModuleRow {
  key: string;
  source: string;
  version: string;
}
/**
 * A parameter of a build, and its value as text.
 */
export interface NameValue {
  name: string;
  value: string;
}
/**
 * A token, which is shown only once.
 */
export interface NewKey {
  key: string;
}
/**
 * How many there may be; null: any number.
 */
export interface NewLimit {
  allowed: number | null;
}
/**
 * A webhook that was just made, with its secret, which is shown only once.
 */
export interface NewWebhook {
  id: string;
  secret: string;
}
/**
 * An organization.
 */
export interface Organization {
  id: string;
  name: string;
  display_name: string;
  icon?: string;
  description: string;
  created_at: string;
  updated_at: string;
  is_default: boolean;
}
/**
 * An organization, its number of members, and the allowance that each of them gets.
 */
export interface OrganizationListing {
  id: string;
  name: string;
  is_default: boolean;
  members: number;
  everyone_allowance: number;
}
/**
 * A value that a parameter may have.
 */
export interface ParameterOption {
  name: string;
  description: string;
  value: string;
  icon: string;
}
/**
 * A parameter that the user of a workspace chooses.
 */
export interface ParameterRow {
  name: string;
  display_name: string;
  type: string;
  form_type: string;
  description: string;
  required: boolean;
  default_value: string;
  mutable: boolean;
  ephemeral: boolean;
  options: {
    [k: string]: unknown;
  }[];
  validation_regex: string;
  validation_min: number | null;
  validation_max: number | null;
  validation_error: string;
  validation_monotonic: string;
}
/**
 * Why a queue is paused.
 */
export interface Pause {
  reason?: string;
}
/**
 * A named set of values. Coder writes these names with capitals.
 */
export interface Preset {
  ID: string;
  Name: string;
  Parameters: {
    [k: string]: string;
  }[];
  Default: boolean;
  DesiredPrebuildInstances?: number | null;
  Description: string;
  Icon: string;
}
/**
 * A preset and its values.
 */
export interface PresetRow {
  id: string;
  name: string;
  description: string;
  is_default: boolean;
  parameters: {
    [k: string]: string;
  };
}
/**
 * The version to make active.
 */
export interface Promote {
  id: string;
}
/**
 * A worker.
 */
export interface ProvisionerDaemon {
  id: string;
  organization_id: string;
  key_id?: string;
  created_at: string;
  last_seen_at?: string | null;
  name: string;
  version: string;
  api_version: string;
  provisioners: string[];
  tags: {
    [k: string]: string;
  };
  key_name?: string;
  status: string;
  current_job?: DaemonJob | null;
  previous_job?: DaemonJob | null;
}
/**
 * A Terraform state.
 */
export interface PushState {
  state: string;
}
/**
 * The next version of a template, which is created if it does not exist.
 */
export interface PushTemplate {
  file_id: string;
  provisioner?: ProvisionerType & string;
  /**
   * empty: the next free one
   */
  version_name?: string;
  message?: string;
  tags?: {
    [k: string]: string;
  };
  /**
   * @maxItems 1000
   */
  user_variable_values?: GivenValue[];
  /**
   * become active when the import has succeeded
   */
  activate?: boolean;
}
/**
 * A template version whose import waits for a worker.
 */
export interface Pushed {
  version_id: string;
  version_name: string;
  job_id: string;
  queue: string;
}
/**
 * The jobs that wait in a queue, and the live workers that serve it.
 */
export interface Queue {
  queue: string;
  /**
   * waiting jobs, counted up to 10000
   */
  depth: number;
  /**
   * age of the oldest waiting job
   */
  oldest_s: number;
  workers: number;
  slots: number;
  /**
   * of its jobs
   */
  tags: {
    [k: string]: string;
  };
  /**
   * absent unless an operator has paused it
   */
  paused_at?: string | null;
  paused_by?: string;
  pause_reason?: string;
}
/**
 * How many jobs wait in a queue, and how many live workers serve it.
 */
export interface QueueDepth {
  queue: string;
  depth: number;
  oldest_s: number;
  workers: number;
  slots: number;
  tags?: {
    [k: string]: string;
  };
  paused_at?: string | null;
  paused_by?: string;
  pause_reason?: string;
}
/**
 * The quota of one owner in one organization, in credits per day.
 */
export interface QuotaDetails {
  credits_consumed: number;
  budget: number;
  groups: GroupAllowance[];
  workspaces: WorkspaceConsumption[];
}
/**
 * The credits that one workspace consumes: the daily cost of its latest build.
 */
export interface WorkspaceConsumption {
  workspace_id: string;
  workspace: string;
  transition: string;
  status: string;
  daily_cost: number;
}
/**
 * A user's quota in an organization.
 */
export interface QuotaOfUser {
  user: string;
  organization: string;
  details: QuotaDetails;
}
/**
 * What is sent again.
 */
export interface Replayed {
  message: string;
  /**
   * number of deliveries
   */
  count: number;
}
/**
 * A resource of a workspace after a start or a stop, as planned by the import.
 */
export interface ResourceRow {
  transition: string;
  type: string;
  name: string;
  module_path: string | null;
  daily_cost: number;
}
/**
 * A new build, and the job whose build it repeats.
 */
export interface RetriedJob {
  /**
   * the new job
   */
  id: string;
  retried_job_id: string;
  /**
   * OWNER/NAME
   */
  workspace: string;
  transition: Transition;
  build_number: number;
}
/**
 * The builds that were enqueued again, and the jobs that were left as they are.
 */
export interface RetriedJobs {
  done: RetriedJob[];
  refused: Refusal[];
}
/**
 * When the workspace starts automatically; absent: never.
 */
export interface Schedule {
  schedule?: string | null;
}
/**
 * A parameter of a workspace's latest build, with its value.
 */
export interface ShownParameter {
  name: string;
  value: string;
  type: string | null;
  mutable?: boolean;
  ephemeral?: boolean;
}
/**
 * A resource that a workspace's latest build left, and what runs in it.
 */
export interface ShownResource {
  type: string;
  name: string;
  daily_cost: number;
  agents: string[];
  apps: string[];
}
/**
 * A token without its secret.
 */
export interface ShownToken {
  id: string;
  user_id: string;
  username: string;
  created_at: string;
  updated_at: string;
  expires_at: string;
  last_used: string;
  login_type?: string;
  token_name: string;
  scope: string;
  lifetime_seconds: number;
}
/**
 * A workspace with its latest build, the values of that, and the resources that it left.
 */
export interface ShownWorkspace {
  id: string;
  name: string;
  owner_name: string;
  template_name: string;
  version_name: string | null;
  active_version_name: string | null;
  preset_name: string | null;
  status: string;
  daily_cost: number;
  build_number: number | null;
  transition: Transition | null;
  job_id: string | null;
  parameters: ShownParameter[];
  resources: ShownResource[];
}
/**
 * The roles that a user has in the whole site.
 */
export interface SiteRoles {
  /**
   * @maxItems 20
   */
  roles: SiteRole[];
}
/**
 * A named line of template versions.
 */
export interface Template {
  id: string;
  created_at: string;
  updated_at: string;
  organization_id: string;
  organization_name: string;
  organization_display_name: string;
  organization_icon?: string;
  name: string;
  display_name: string;
  provisioner: ProvisionerType;
  active_version_id: string;
  /**
   * number of users who have a workspace of it
   */
  active_user_count: number;
  build_time_stats?: {
    [k: string]: BuildTimeStats;
  };
  description: string;
  icon: string;
  /**
   * whether no new workspaces are made of it
   */
  deprecated: boolean;
  deprecation_message: string;
  deleted: boolean;
  /**
   * time to live of new workspaces; 0: none
   */
  default_ttl_ms: number;
  /**
   * how long a workspace runs at least after a use
   */
  activity_bump_ms: number;
  autostop_requirement?: AutostopRequirement;
  autostart_requirement?: AutostartRequirement;
  created_by_id: string;
  created_by_name: string;
  allow_user_autostart?: boolean;
  allow_user_autostop?: boolean;
  allow_user_cancel_workspace_jobs: boolean;
  failure_ttl_ms?: number;
  time_til_dormant_ms?: number;
  time_til_dormant_autodelete_ms?: number;
  require_active_version: boolean;
  max_port_share_level?: string;
  cors_behavior?: string;
  /**
   * always true: clients ask for rich parameters
   */
  use_classic_parameter_flow?: boolean;
  disable_module_cache: boolean;
}
/**
 * A template and its active version.
 */
export interface TemplateListing {
  id: string;
  name: string;
  organization_name: string;
  provisioner: string;
  active_version_name: string | null;
  versions: number;
  workspaces: number;
  updated_at: string;
}
/**
 * One pushed content of a template.
 */
export interface TemplateVersion {
  id: string;
  /**
   * all zeros while it belongs to no template
   */
  template_id: string;
  organization_id: string;
  created_at: string;
  updated_at: string;
  name: string;
  message: string;
  job: ProvisionerJob;
  readme: string;
  created_by: MinimalUser;
  archived: boolean;
  matched_provisioners?: MatchedProvisioners | null;
  has_external_agent: boolean;
}
/**
 * A parameter of a template version.
 */
export interface TemplateVersionParameter {
  name: string;
  display_name: string;
  description: string;
  description_plaintext: string;
  type: string;
  form_type: string;
  mutable: boolean;
  default_value: string;
  icon: string;
  options: ParameterOption[];
  validation_error?: string | null;
  validation_regex?: string | null;
  validation_min?: number | null;
  validation_max?: number | null;
  validation_monotonic?: string | null;
  /**
   * it has no default
   */
  required: boolean;
  ephemeral: boolean;
}
/**
 * A variable of a template version, without the values of sensitive ones.
 */
export interface TemplateVersionVariable {
  name: string;
  description: string;
  type: string;
  value: string;
  default_value: string;
  required: boolean;
  sensitive: boolean;
}
/**
 * How long the workspace runs; null: until somebody stops it.
 */
export interface TimeToLive {
  ttl_ms?: number | null;
}
/**
 * A token, without its secret.
 */
export interface TokenListing {
  id: string;
  name: string;
  username: string;
  user_id: string;
  scope: string;
  is_session: boolean;
  is_expired: boolean;
  created_at: string;
  expires_at: string;
  last_used_at: string | null;
}
/**
 * Whether the workspace follows the template's active version.
 */
export interface Updates {
  automatic_updates: AutomaticUpdates;
}
/**
 * The id of an archive. Coder's name for it is ``hash``.
 */
export interface Uploaded {
  hash: string;
}
/**
 * A user.
 */
export interface User {
  id: string;
  username: string;
  name?: string;
  avatar_url?: string;
  email: string;
  created_at: string;
  updated_at: string;
  /**
   * when a token of the user was last used
   */
  last_seen_at: string;
  status: UserStatus;
  login_type?: string;
  theme_preference?: string;
  organization_ids: string[];
  roles: Role[];
  has_ai_seat?: boolean;
}
/**
 * A user and the organizations that they are a member of.
 */
export interface UserListing {
  id: string;
  username: string;
  email: string;
  status: string;
  organizations: string[];
  created_at: string;
}
/**
 * The quota of one member, in credits per day.
 */
export interface UserQuota {
  user: string;
  budget: number;
  credits_consumed: number;
  left: number;
}
/**
 * A page of users.
 */
export interface Users {
  users: User[];
  /**
   * number of users on all pages
   */
  count: number;
}
/**
 * A variable; a sensitive value or default is not shown.
 */
export interface VariableRow {
  name: string;
  type: string;
  description: string;
  value: string | null;
  default_value: string;
  required: boolean;
  sensitive: boolean;
}
/**
 * A version with everything that its import found.
 */
export interface VersionDetails {
  id: string;
  name: string;
  template_name: string;
  status: string;
  error: string | null;
  error_code: string | null;
  is_active: boolean;
  archived: boolean;
  failing: string;
  message: string;
  readme: string;
  job_id: string;
  has_ai_task: boolean;
  has_external_agent: boolean;
  external_auth_providers: {
    [k: string]: unknown;
  }[];
  variables: VariableRow[];
  parameters: ParameterRow[];
  presets: PresetRow[];
  modules: ModuleRow[];
  resources: ResourceRow[];
}
/**
 * A version of a template, and how its import ended.
 */
export interface VersionListing {
  id: string;
  name: string;
  status: string;
  error: string | null;
  error_code: string | null;
  is_active: boolean;
  archived: boolean;
  workspaces: number;
  failing?: string;
  message: string;
  created_by_name: string;
  created_at: string;
  job_id: string;
}
/**
 * A webhook, and how it fares.
 */
export interface Webhook {
  id: string;
  url: string;
  organization_id?: string | null;
  types: string[];
  created_at: string;
  /**
   * deliveries that are due or will be tried again
   */
  waiting: number;
  /**
   * deliveries that were given up; replay sends them again
   */
  parked: number;
  last_delivered_at?: string | null;
  last_error: string;
}
/**
 * A webhook, without its secret, and how it fares.
 */
export interface WebhookListing {
  id: string;
  url: string;
  organization_id: string | null;
  types: string[];
  created_at: string;
  waiting: number;
  parked: number;
  last_delivered_at: string | null;
  last_error: string;
}
/**
 * A worker, its status and its load.
 */
export interface WorkerListing {
  id: string;
  name: string;
  status: string;
  is_stale: boolean;
  tags: {
    [k: string]: string;
  };
  provisioners: string[];
  queues: string[];
  organization_ids: string[];
  organizations: string[];
  slots: number;
  running_jobs: number;
  free_slots: number;
  last_seen_at: string | null;
  last_seen_s: number | null;
  version: string;
  hostname: string;
}
/**
 * A development machine of a user, with its latest build.
 */
export interface Workspace {
  id: string;
  created_at: string;
  updated_at: string;
  owner_id: string;
  owner_name: string;
  owner_avatar_url: string;
  organization_id: string;
  organization_name: string;
  template_id: string;
  template_name: string;
  template_display_name: string;
  template_icon: string;
  template_allow_user_cancel_workspace_jobs: boolean;
  template_active_version_id: string;
  template_require_active_version: boolean;
  template_use_classic_parameter_flow?: boolean;
  latest_build: WorkspaceBuild;
  /**
   * whether the template's active version is another
   */
  outdated: boolean;
  name: string;
  autostart_schedule?: string | null;
  ttl_ms?: number | null;
  last_used_at: string;
  deleting_at?: string | null;
  dormant_at?: string | null;
  health?: WorkspaceHealth;
  automatic_updates: AutomaticUpdates;
  allow_renames?: boolean;
  favorite: boolean;
  is_prebuild?: boolean;
}
/**
 * Whether the agents of a workspace are healthy. Agents do not run here.
 */
export interface WorkspaceHealth {
  healthy?: boolean;
  failing_agents?: string[];
}
/**
 * A workspace and its latest build.
 */
export interface WorkspaceListing {
  id: string;
  name: string;
  owner_name: string;
  template_name: string;
  status: string;
  daily_cost: number;
  build_number: number | null;
  transition: Transition | null;
  job_id: string | null;
  last_build_at: string | null;
  is_outdated: boolean;
}
/**
 * A page of workspaces.
 */
export interface Workspaces {
  workspaces: Workspace[];
  /**
   * number of workspaces on all pages
   */
  count: number;
}
