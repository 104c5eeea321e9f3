"""The types of ``codersdk`` that the command line decodes. ``!`` marks what it reads."""

from __future__ import annotations

from tests.harness.api.strict import (
    bool_,
    int32_,
    int_,
    many,
    mapping,
    nullable,
    struct,
    text_,
    time_,
    uuid_,
)

ROLE = struct({"name!": text_, "display_name!": text_, "organization_id": uuid_})
MINIMAL_USER = struct({"id!": uuid_, "username!": text_, "name": text_, "avatar_url": text_})
USER = struct(
    {
        "id!": uuid_, "username!": text_, "name": text_, "avatar_url": text_, "email!": text_,
        "created_at!": time_, "updated_at": time_, "last_seen_at": time_, "status!": text_,
        "login_type!": text_, "theme_preference": text_, "organization_ids!": many(uuid_),
        "roles!": many(ROLE), "has_ai_seat": bool_,
    }
)  # fmt: skip
USERS = struct({"users!": many(USER), "count!": int_})
ORGANIZATION = struct(
    {
        "id!": uuid_, "name!": text_, "display_name!": text_, "icon": text_, "description": text_,
        "created_at": time_, "updated_at": time_, "is_default!": bool_,
    }
)  # fmt: skip
MEMBER = struct(
    {
        "username": text_, "user_id!": uuid_, "organization_id": uuid_, "created_at": time_,
        "updated_at": time_, "user_created_at": time_, "user_updated_at": time_,
        "last_seen_at": time_, "status": text_, "roles!": many(ROLE), "global_roles": many(ROLE),
    }
)  # fmt: skip
QUANTILES = struct({"P50": nullable(int_), "P95": nullable(int_)})
TEMPLATE = struct(
    {
        "id!": uuid_, "created_at!": time_, "updated_at!": time_, "organization_id!": uuid_,
        "organization_name!": text_, "organization_display_name": text_, "organization_icon": text_,
        "name!": text_, "display_name": text_, "provisioner!": text_, "active_version_id!": uuid_,
        "active_user_count!": int_, "build_time_stats": mapping(QUANTILES), "description": text_,
        "icon": text_, "deprecated": bool_, "deprecation_message": text_, "deleted": bool_,
        "default_ttl_ms!": int_, "activity_bump_ms": int_,
        "autostop_requirement": struct({"days_of_week": many(text_), "weeks": int_}),
        "autostart_requirement": struct({"days_of_week": many(text_)}), "created_by_id": uuid_,
        "created_by_name": text_, "allow_user_autostart": bool_, "allow_user_autostop": bool_,
        "allow_user_cancel_workspace_jobs": bool_, "failure_ttl_ms": int_,
        "time_til_dormant_ms": int_, "time_til_dormant_autodelete_ms": int_,
        "require_active_version": bool_, "max_port_share_level": text_, "cors_behavior": text_,
        "use_classic_parameter_flow!": bool_, "disable_module_cache": bool_,
    }
)  # fmt: skip
JOB = struct(
    {
        "id!": uuid_, "created_at!": time_, "started_at": nullable(time_),
        "completed_at": nullable(time_), "canceled_at": nullable(time_), "error": text_,
        "error_code": text_, "status!": text_, "worker_id": uuid_, "worker_name": text_,
        "file_id!": uuid_, "tags!": mapping(text_), "queue_position!": int_, "queue_size!": int_,
        "organization_id": uuid_, "initiator_id": uuid_,
        "input!": struct({"template_version_id": uuid_, "workspace_build_id": uuid_,
                          "error": text_}),
        "type!": text_, "available_workers": many(uuid_),
        "metadata": struct({"template_version_name": text_, "template_id": uuid_,
                            "template_name": text_, "template_display_name": text_,
                            "template_icon": text_, "workspace_id": uuid_,
                            "workspace_name": text_}),
        "logs_overflowed": bool_,
    }
)  # fmt: skip
MATCHED = struct({"count!": int_, "available!": int_, "most_recently_seen": nullable(time_)})
VERSION = struct(
    {
        "id!": uuid_, "template_id!": uuid_, "organization_id!": uuid_, "created_at!": time_,
        "updated_at": time_, "name!": text_, "message": text_, "job!": JOB, "readme": text_,
        "created_by!": MINIMAL_USER, "archived!": bool_, "warnings": many(text_),
        "matched_provisioners": nullable(MATCHED), "has_external_agent": bool_,
    }
)  # fmt: skip
OPTION = struct({"name!": text_, "description!": text_, "value!": text_, "icon": text_})
PARAMETER = struct(
    {
        "name!": text_, "display_name": text_, "description": text_,
        "description_plaintext!": text_, "type!": text_, "form_type!": text_, "mutable!": bool_,
        "default_value!": text_, "icon": text_, "options!": many(OPTION),
        "validation_error": text_, "validation_regex": text_, "validation_min": nullable(int32_),
        "validation_max": nullable(int32_), "validation_monotonic": text_, "required!": bool_,
        "ephemeral!": bool_,
    }
)  # fmt: skip
VARIABLE = struct(
    {
        "name!": text_, "description!": text_, "type!": text_, "value!": text_,
        "default_value!": text_, "required!": bool_, "sensitive!": bool_,
    }
)  # fmt: skip
PRESET = struct(
    {
        "ID!": uuid_, "Name!": text_,
        "Parameters!": many(struct({"Name!": text_, "Value!": text_})), "Default!": bool_,
        "DesiredPrebuildInstances": nullable(int_), "Description": text_, "Icon": text_,
    }
)  # fmt: skip
EXTERNAL_AUTH = struct({"id": text_, "display_name": text_, "authenticated": bool_})
APP = struct({"id": uuid_, "slug": text_, "display_name": text_})
AGENT = struct(
    {
        "id!": uuid_, "parent_id": nullable(uuid_), "created_at!": time_, "updated_at!": time_,
        "first_connected_at": nullable(time_), "last_connected_at": nullable(time_),
        "disconnected_at": nullable(time_), "status!": text_, "lifecycle_state!": text_,
        "name!": text_, "resource_id": uuid_, "architecture!": text_, "operating_system!": text_,
        "environment_variables": mapping(text_), "logs_length": int_, "version!": text_,
        "apps": many(APP), "connection_timeout_seconds": int32_,
        "health": struct({"healthy!": bool_, "reason": text_}),
        "display_apps": many(text_), "log_sources": many(struct({"id!": uuid_})),
    }
)  # fmt: skip
RESOURCE = struct(
    {
        "id": uuid_, "created_at": time_, "job_id": uuid_, "workspace_transition!": text_,
        "type!": text_, "name!": text_, "hide": bool_, "icon": text_, "agents": many(AGENT),
        "metadata": many(struct({"key": text_, "value": text_, "sensitive": bool_})),
        "daily_cost": int32_,
    }
)  # fmt: skip
BUILD = struct(
    {
        "id!": uuid_, "created_at!": time_, "updated_at": time_, "workspace_id": uuid_,
        "workspace_name": text_, "workspace_owner_id": uuid_, "workspace_owner_name": text_,
        "template_version_id!": uuid_, "template_version_name": text_, "build_number!": int32_,
        "transition!": text_, "initiator_id": uuid_, "initiator_name": text_, "job!": JOB,
        "reason": text_, "resources!": many(RESOURCE), "deadline": nullable(time_),
        "max_deadline": nullable(time_), "status!": text_, "daily_cost!": int32_,
        "matched_provisioners": nullable(MATCHED), "template_version_preset_id": nullable(uuid_),
    }
)  # fmt: skip
WORKSPACE = struct(
    {
        "id!": uuid_, "created_at": time_, "updated_at": time_, "owner_id!": uuid_,
        "owner_name!": text_, "owner_avatar_url": text_, "organization_id!": uuid_,
        "organization_name!": text_, "template_id!": uuid_, "template_name!": text_,
        "template_display_name": text_, "template_icon": text_,
        "template_allow_user_cancel_workspace_jobs": bool_, "template_active_version_id!": uuid_,
        "template_require_active_version!": bool_, "template_use_classic_parameter_flow": bool_,
        "latest_build!": BUILD, "outdated!": bool_, "name!": text_, "autostart_schedule": text_,
        "ttl_ms": nullable(int_), "last_used_at!": time_, "deleting_at": nullable(time_),
        "dormant_at": nullable(time_),
        "health!": struct({"healthy!": bool_, "failing_agents": many(uuid_)}),
        "automatic_updates!": text_, "allow_renames": bool_, "favorite!": bool_,
        "next_start_at": nullable(time_), "is_prebuild": bool_, "task_id": nullable(uuid_),
    }
)  # fmt: skip
WORKSPACES = struct({"workspaces!": many(WORKSPACE), "count!": int_})
DAEMON_JOB = struct({"id": uuid_, "status": text_, "template_name": text_})
DAEMON = struct(
    {
        "id!": uuid_, "organization_id": uuid_, "key_id": uuid_, "created_at!": time_,
        "last_seen_at": nullable(time_), "name!": text_, "version!": text_, "api_version!": text_,
        "provisioners": many(text_), "tags!": mapping(text_), "key_name": nullable(text_),
        "status!": nullable(text_), "current_job": nullable(DAEMON_JOB),
        "previous_job": nullable(DAEMON_JOB),
    }
)  # fmt: skip
LOG = struct(
    {
        "id!": int_, "created_at!": time_, "log_source": text_, "log_level!": text_,
        "stage!": text_, "output!": text_,
    }
)  # fmt: skip
MESSAGE = struct(
    {
        "message!": text_, "detail": text_,
        "validations": many(struct({"field!": text_, "detail!": text_, "is_missing": bool_})),
        "reason": text_,
    }
)  # fmt: skip
NAME_VALUE = struct({"name!": text_, "value!": text_})
KEY = struct({"key!": text_})
TOKEN = struct(
    {
        "id!": text_, "user_id!": uuid_, "last_used!": time_, "expires_at!": time_,
        "created_at!": time_, "updated_at": time_, "login_type": text_, "scope!": text_,
        "token_name!": text_, "lifetime_seconds": int_, "username": text_,
    }
)  # fmt: skip
TOKEN_CONFIG = struct({"max_token_lifetime!": int_})
ARCHIVED = struct({"template_id!": uuid_, "archived_ids!": many(uuid_)})
UPLOADED = struct({"hash!": uuid_})
QUOTA = struct({"credits_consumed!": int_, "budget!": int_})
BUILD_INFO = struct(
    {
        "external_url": text_, "version!": text_, "dashboard_url!": text_, "telemetry": bool_,
        "workspace_proxy": bool_, "agent_api_version": text_, "provisioner_api_version": text_,
        "upgrade_message!": text_, "deployment_id": text_,
    }
)  # fmt: skip
