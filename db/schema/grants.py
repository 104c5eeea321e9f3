"""The rights in PostgreSQL that each kind of process needs, and which of them a user lacks.

They do not include the rights to migrate: tables and views belong to another PostgreSQL role.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum

from sqlalchemy.orm import Session

from db.engine import sql
from db.schema.place import quoted, schema_of_functions, schema_of_tables

SELECT, INSERT, UPDATE, DELETE, USAGE = "SELECT", "INSERT", "UPDATE", "DELETE", "USAGE"
EXECUTE = "EXECUTE"
# A row lock needs the right to update some column.
LOCK = "UPDATE (updated_at)"

# All but the token, with which a program can pretend to be the agent.
_AGENT_COLUMNS = (
    "SELECT (id, parent_id, resource_id, name, auth_instance_id, architecture, "
    "operating_system, environment_variables, directory, expanded_directory, "
    "connection_timeout_seconds, troubleshooting_url, motd_file, display_apps, "
    "display_order, api_key_scope, lifecycle_state, version, api_version, "
    "first_connected_at, last_connected_at, disconnected_at, started_at, ready_at, "
    "deleted, created_at, updated_at)"
)

Rights = Mapping[str, Sequence[str]]
"""Privileges by table, view or sequence."""


class AccessRole(StrEnum):
    """What a process does with the database and the broker."""

    WORKER = "worker"  #: run builds, recover, sweep and prune
    ENQUEUE = "enqueue"  #: enqueue builds by ``worker.enqueue``
    SQL = "sql"  #: call ``provisionerd.enqueue_build``, and nothing else
    API = "api"  #: serve the HTTP API
    READ = "read"  #: read by ``db.reads``, and serve the exporter


_FUNCTION = "enqueue_build(uuid, text, jsonb, text, uuid, uuid, text, jsonb, boolean)"
ENQUEUEING: Rights = {
    f"SCHEMA {schema_of_functions()}": (USAGE,),
    f"FUNCTION {schema_of_functions()}.{_FUNCTION}": (EXECUTE,),
}
"""What it takes to call ``enqueue_build``. It needs no rights in the tables."""
WORKER_RIGHTS: Rights = {
    **ENQUEUEING,
    "events": (INSERT,),
    "provisionerd_migrations": (SELECT,),
    "applied_workspace_builds": (SELECT,),
    "audit_logs": (SELECT, DELETE),
    "autostops": (SELECT, INSERT, UPDATE, DELETE),
    "chats": (SELECT, DELETE),
    "circuits": (SELECT, INSERT, UPDATE, DELETE),
    "files": (SELECT, INSERT, "UPDATE (mimetype)"),
    "group_members": (SELECT,),
    "group_members_expanded": (SELECT,),
    "groups": (SELECT,),
    "latest_workspace_builds": (SELECT,),
    "leases": (SELECT, INSERT, UPDATE, DELETE),
    "limits": (SELECT,),
    "live_workers": (SELECT,),
    "organization_members": (SELECT,),
    "organizations": (SELECT,),
    "provisioner_daemons": (SELECT, INSERT, UPDATE),
    "provisioner_job_logs": (SELECT, INSERT, DELETE),
    "provisioner_job_timings": (SELECT, INSERT),
    "provisioner_jobs": (SELECT, INSERT, UPDATE, DELETE),
    "queue_pauses": (SELECT,),
    "quota_accounts": (SELECT, INSERT, UPDATE),
    "replaced_states": (SELECT, "UPDATE (provisioner_state)"),
    "template_version_dry_runs": (SELECT, UPDATE),
    "template_version_parameters": (SELECT, INSERT),
    "template_version_preset_parameters": (SELECT, INSERT),
    "template_version_preset_prebuild_schedules": (INSERT,),
    "template_version_presets": (SELECT, INSERT),
    "template_version_terraform_values": (SELECT, INSERT, UPDATE),
    "template_version_variables": (SELECT, INSERT, DELETE),
    "template_version_workspace_tags": (SELECT, INSERT),
    "template_versions": (
        SELECT,
        "UPDATE (readme, external_auth_providers, has_ai_task, has_external_agent, updated_at)",
    ),
    "templates": (SELECT, "UPDATE (active_version_id, updated_at)"),
    "users": (SELECT,),
    "workspace_agent_devcontainers": (INSERT,),
    "workspace_agent_log_sources": (INSERT,),
    "workspace_agent_memory_resource_monitors": (INSERT,),
    "workspace_agent_metadata": (INSERT,),
    "workspace_agent_scripts": (INSERT,),
    "workspace_agent_volume_resource_monitors": (INSERT,),
    "workspace_agents": (SELECT, INSERT),
    "workspace_apps": (SELECT, INSERT, UPDATE),
    "workspace_build_parameters": (SELECT, INSERT),
    "workspace_builds": (SELECT, INSERT, UPDATE, DELETE),
    "workspace_modules": (INSERT,),
    "workspace_resource_metadata": (INSERT,),
    "workspace_resources": (SELECT, INSERT),
    "workspaces": (SELECT, "UPDATE (deleted, updated_at)"),
    "SEQUENCE events_id_seq": (USAGE,),
    "SEQUENCE provisioner_job_logs_id_seq": (USAGE,),
    "SEQUENCE provisioner_job_timings_id_seq": (USAGE,),
    "SEQUENCE workspace_resource_metadata_id_seq": (USAGE,),
}
ENQUEUE_RIGHTS: Rights = {
    **ENQUEUEING,
    "applied_workspace_builds": (SELECT,),
    "latest_workspace_builds": (SELECT,),
    "limits": (SELECT,),
    "organization_members": (SELECT,),
    "provisioner_jobs": (SELECT, INSERT),
    "template_version_dry_runs": (INSERT,),
    "template_version_parameters": (SELECT,),
    "template_version_preset_parameters": (SELECT,),
    "template_version_presets": (SELECT,),
    "template_version_terraform_values": (SELECT,),
    "template_version_variables": (SELECT,),
    "template_version_workspace_tags": (SELECT,),
    "template_versions": (SELECT,),
    "templates": (SELECT,),
    "users": (SELECT,),
    "workspace_build_parameters": (SELECT, INSERT),
    "workspace_builds": (SELECT, INSERT),
    "workspaces": (SELECT, LOCK),
}
READ_RIGHTS: dict[str, Sequence[str]] = dict.fromkeys(
    (
        "provisionerd_migrations",
        "applied_workspace_builds",
        "audit_logs",
        "chats",
        "circuits",
        "files",
        "group_members",
        "group_members_expanded",
        "groups",
        "latest_workspace_builds",
        "leases",
        "limits",
        "live_workers",
        "organization_members",
        "organizations",
        "provisioner_daemons",
        "provisioner_job_logs",
        "provisioner_job_timings",
        "provisioner_jobs",
        "queue_pauses",
        "quota_accounts",
        "replaced_states",
        "template_version_dry_runs",
        "template_version_parameters",
        "template_version_preset_parameters",
        "template_version_preset_prebuild_schedules",
        "template_version_presets",
        "template_version_terraform_values",
        "template_version_variables",
        "template_version_workspace_tags",
        "template_versions",
        "templates",
        "users",
        "workspace_agent_devcontainers",
        "workspace_agent_log_sources",
        "workspace_agent_memory_resource_monitors",
        "workspace_agent_metadata",
        "workspace_agent_scripts",
        "workspace_agent_volume_resource_monitors",
        "workspace_apps",
        "workspace_build_parameters",
        "workspace_builds",
        "workspace_modules",
        "workspace_resource_metadata",
        "workspace_resources",
        "workspaces",
    ),
    (SELECT,),
)
READ_RIGHTS |= {"workspace_agents": (_AGENT_COLUMNS,)}
API_RIGHTS: Rights = {
    **READ_RIGHTS,
    **ENQUEUEING,
    "api_tokens": (SELECT, INSERT, UPDATE, DELETE),
    "events": (SELECT, INSERT),
    "webhooks": (SELECT, INSERT, UPDATE, DELETE),
    "webhook_deliveries": (SELECT, INSERT, UPDATE, DELETE),
    "SEQUENCE events_id_seq": (USAGE,),
    "SEQUENCE webhook_deliveries_id_seq": (USAGE,),
    "audit_logs": (SELECT, INSERT),
    "autostops": (SELECT, UPDATE, DELETE),
    "circuits": (SELECT, DELETE),
    "files": (SELECT, INSERT, UPDATE),
    "provisioner_daemons": (SELECT, "UPDATE (drain_requested_at)"),
    "organization_members": (SELECT, INSERT, UPDATE),
    "provisioner_job_logs": (SELECT, INSERT),
    "provisioner_jobs": (SELECT, INSERT, UPDATE),
    "replaced_states": (SELECT, INSERT),
    "template_version_dry_runs": (SELECT, INSERT),
    "template_version_parameters": (SELECT,),
    "template_version_preset_parameters": (SELECT,),
    "template_version_presets": (SELECT,),
    "template_version_variables": (SELECT, INSERT),
    "template_versions": (SELECT, INSERT, UPDATE),
    "templates": (SELECT, INSERT, UPDATE),
    "users": (SELECT, INSERT, UPDATE),
    "workspace_build_parameters": (SELECT, INSERT),
    "workspace_builds": (SELECT, INSERT, UPDATE),
    "workspaces": (SELECT, INSERT, UPDATE),
    "leases": (SELECT, DELETE),
    "SEQUENCE provisioner_job_logs_id_seq": (USAGE,),
    "SEQUENCE replaced_states_id_seq": (USAGE,),
}
RIGHTS: Mapping[AccessRole, Rights] = {
    AccessRole.WORKER: WORKER_RIGHTS,
    AccessRole.ENQUEUE: ENQUEUE_RIGHTS,
    AccessRole.SQL: ENQUEUEING,
    AccessRole.API: API_RIGHTS,
    AccessRole.READ: READ_RIGHTS,
}

# PostgreSQL has no IF NOT EXISTS for either.
CREATE_ROLE = (
    "DO $$ BEGIN CREATE ROLE {name} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
)
GRANT_CONNECT = (
    "DO $$ BEGIN EXECUTE 'GRANT CONNECT ON DATABASE ' || quote_ident(current_database())"
    " || ' TO {name}'; END $$;"
)


def grant_statements(role: AccessRole, user: str) -> list[str]:
    """Return the statements that give ``user`` exactly the rights of the role.

    They may be run again, and revoke what an earlier version needed. The owner of the tables
    must run them, in the database of provisionerd.

    Args:
        user: the name of the PostgreSQL role; it is created without a password if it is missing.
    """
    name, schema = _identifier(user), quoted(schema_of_tables() or "public")
    granted = [
        f"GRANT {', '.join(privileges)} ON {table} TO {name};"
        for table, privileges in RIGHTS[role].items()
    ]
    return [
        CREATE_ROLE.format(name=name),
        GRANT_CONNECT.format(name=name),
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM {name};",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM {name};",
        f"GRANT USAGE ON SCHEMA {schema} TO {name};",
        *granted,
    ]


def missing_rights(session: Session, role: AccessRole) -> list[str]:
    """Return the rights of the role that the session's user lacks, such as ``SELECT on leases``."""
    wanted = list(_single_rights(RIGHTS[role]))
    rows = session.execute(
        sql("""
            SELECT wanted.privilege, wanted.name
            FROM unnest(CAST(:privileges AS text[]), CAST(:kinds AS text[]), CAST(:names AS text[]))
                 WITH ORDINALITY AS wanted (privilege, kind, name, position)
            CROSS JOIN LATERAL (
                SELECT CASE WHEN wanted.kind = '' THEN to_regclass(wanted.name)::oid END AS id
            ) AS relation
            WHERE NOT coalesce(
                CASE wanted.kind || wanted.privilege
                    WHEN 'SCHEMA USAGE'
                        THEN has_schema_privilege(to_regnamespace(wanted.name), 'USAGE')
                    WHEN 'FUNCTION EXECUTE'
                        THEN has_function_privilege(to_regprocedure(wanted.name), 'EXECUTE')
                    WHEN 'USAGE' THEN has_sequence_privilege(relation.id, 'USAGE')
                    WHEN 'DELETE' THEN has_table_privilege(relation.id, 'DELETE')
                    ELSE has_any_column_privilege(relation.id, wanted.privilege)
                END,
                false
            )
            ORDER BY wanted.position
        """),
        {
            "privileges": [privilege for privilege, _, _ in wanted],
            "kinds": [kind for _, kind, _ in wanted],
            "names": [name for _, _, name in wanted],
        },
    )
    return [f"{row.privilege} on {row.name}" for row in rows]


def _single_rights(rights: Rights) -> Iterator[tuple[str, str, str]]:
    """Yield each privilege, the kind of what it is on (empty for relations), and its name."""
    for named, privileges in rights.items():
        kind, _, name = named.rpartition(" ") if "(" not in named else named.partition(" ")
        for privilege in privileges:
            is_relation = kind in {"", "SEQUENCE"}
            yield privilege.partition(" ")[0], "" if is_relation else f"{kind} ", name


def _identifier(user: str) -> str:
    """Return the name quoted for SQL; it has been checked to need nothing else.

    Raises:
        ValueError: it has other characters than letters, digits, ``_`` and ``-``.
    """
    if not user.replace("_", "").replace("-", "").isalnum() or not user.isascii():
        raise ValueError(f"{user!r} has other characters than letters, digits, _ and -")
    return f'"{user}"'
