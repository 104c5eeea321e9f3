"""Agents of workspaces and what runs in them.

How it is deployed: at any time, with old and new workers running. The new tables are not known to
the code before it. The new columns of ``workspace_builds`` have no default, so PostgreSQL only
changes its catalog. Builds of an older worker have no agents.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TYPES = {
    "display_app": (
        "vscode",
        "vscode_insiders",
        "web_terminal",
        "ssh_helper",
        "port_forwarding_helper",
    ),
    "agent_key_scope_enum": ("all", "no_user_data"),
    "workspace_agent_lifecycle_state": (
        "created",
        "starting",
        "start_timeout",
        "start_error",
        "ready",
        "shutting_down",
        "shutdown_timeout",
        "shutdown_error",
        "off",
    ),
    "workspace_agent_monitor_state": ("OK", "NOK"),
    "app_sharing_level": ("owner", "authenticated", "public"),
    "workspace_app_health": ("disabled", "initializing", "healthy", "unhealthy"),
    "workspace_app_open_in": ("tab", "slim-window"),
}
TABLES = """
CREATE TABLE workspace_agents (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    parent_id UUID,
    resource_id UUID NOT NULL,
    name VARCHAR(64) NOT NULL,
    auth_token UUID NOT NULL,
    auth_instance_id TEXT,
    architecture VARCHAR(64) NOT NULL,
    operating_system VARCHAR(64) NOT NULL,
    environment_variables JSONB,
    directory VARCHAR(4096) DEFAULT '' NOT NULL,
    expanded_directory VARCHAR(4096) DEFAULT '' NOT NULL,
    connection_timeout_seconds INTEGER DEFAULT 0 NOT NULL,
    troubleshooting_url TEXT DEFAULT '' NOT NULL,
    motd_file TEXT DEFAULT '' NOT NULL,
    display_apps display_app[]
        DEFAULT '{vscode,vscode_insiders,web_terminal,ssh_helper,port_forwarding_helper}' NOT NULL,
    display_order INTEGER DEFAULT 0 NOT NULL,
    api_key_scope agent_key_scope_enum DEFAULT 'all' NOT NULL,
    lifecycle_state workspace_agent_lifecycle_state DEFAULT 'created' NOT NULL,
    version TEXT DEFAULT '' NOT NULL,
    api_version TEXT DEFAULT '' NOT NULL,
    first_connected_at TIMESTAMP WITH TIME ZONE,
    last_connected_at TIMESTAMP WITH TIME ZONE,
    disconnected_at TIMESTAMP WITH TIME ZONE,
    started_at TIMESTAMP WITH TIME ZONE,
    ready_at TIMESTAMP WITH TIME ZONE,
    deleted BOOLEAN DEFAULT false NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workspace_agents PRIMARY KEY (id),
    CONSTRAINT fk_workspace_agents_parent_id_workspace_agents
        FOREIGN KEY(parent_id) REFERENCES workspace_agents (id) ON DELETE CASCADE,
    CONSTRAINT fk_workspace_agents_resource_id_workspace_resources
        FOREIGN KEY(resource_id) REFERENCES workspace_resources (id) ON DELETE CASCADE
);
CREATE INDEX ix_workspace_agents_auth_token ON workspace_agents (auth_token);
CREATE INDEX ix_workspace_agents_parent_id ON workspace_agents (parent_id);
CREATE INDEX ix_workspace_agents_resource_id ON workspace_agents (resource_id);
CREATE TABLE workspace_agent_metadata (
    workspace_agent_id UUID NOT NULL,
    key VARCHAR(127) NOT NULL,
    display_name VARCHAR(127) NOT NULL,
    script VARCHAR(65535) NOT NULL,
    value VARCHAR(65535) DEFAULT '' NOT NULL,
    error VARCHAR(65535) DEFAULT '' NOT NULL,
    timeout BIGINT NOT NULL,
    interval BIGINT NOT NULL,
    collected_at TIMESTAMP WITH TIME ZONE DEFAULT '0001-01-01 00:00:00+00' NOT NULL,
    display_order INTEGER DEFAULT 0 NOT NULL,
    CONSTRAINT pk_workspace_agent_metadata PRIMARY KEY (workspace_agent_id, key),
    CONSTRAINT fk_workspace_agent_metadata_workspace_agent_id_workspace_agents
        FOREIGN KEY(workspace_agent_id) REFERENCES workspace_agents (id) ON DELETE CASCADE
);
CREATE TABLE workspace_agent_log_sources (
    workspace_agent_id UUID NOT NULL,
    id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    display_name VARCHAR(127) NOT NULL,
    icon TEXT DEFAULT '' NOT NULL,
    CONSTRAINT pk_workspace_agent_log_sources PRIMARY KEY (workspace_agent_id, id),
    CONSTRAINT fk_workspace_agent_log_sources_workspace_agent_id_works_8bed
        FOREIGN KEY(workspace_agent_id) REFERENCES workspace_agents (id) ON DELETE CASCADE
);
CREATE TABLE workspace_agent_scripts (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    workspace_agent_id UUID NOT NULL,
    log_source_id UUID NOT NULL,
    log_path TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    script TEXT NOT NULL,
    cron TEXT NOT NULL,
    start_blocks_login BOOLEAN NOT NULL,
    run_on_start BOOLEAN NOT NULL,
    run_on_stop BOOLEAN NOT NULL,
    timeout_seconds INTEGER NOT NULL,
    display_name TEXT NOT NULL,
    CONSTRAINT pk_workspace_agent_scripts PRIMARY KEY (id),
    CONSTRAINT fk_workspace_agent_scripts_workspace_agent_id_workspace_agents
        FOREIGN KEY(workspace_agent_id) REFERENCES workspace_agents (id) ON DELETE CASCADE
);
CREATE INDEX ix_workspace_agent_scripts_workspace_agent_id
    ON workspace_agent_scripts (workspace_agent_id);
CREATE TABLE workspace_agent_devcontainers (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    workspace_agent_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    name TEXT NOT NULL,
    workspace_folder TEXT NOT NULL,
    config_path TEXT NOT NULL,
    subagent_id UUID,
    CONSTRAINT pk_workspace_agent_devcontainers PRIMARY KEY (id),
    CONSTRAINT fk_workspace_agent_devcontainers_workspace_agent_id_wor_587c
        FOREIGN KEY(workspace_agent_id) REFERENCES workspace_agents (id) ON DELETE CASCADE
);
CREATE INDEX ix_workspace_agent_devcontainers_workspace_agent_id
    ON workspace_agent_devcontainers (workspace_agent_id);
CREATE TABLE workspace_agent_memory_resource_monitors (
    agent_id UUID NOT NULL,
    enabled BOOLEAN NOT NULL,
    threshold INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    state workspace_agent_monitor_state DEFAULT 'OK' NOT NULL,
    debounced_until TIMESTAMP WITH TIME ZONE DEFAULT '0001-01-01 00:00:00+00' NOT NULL,
    CONSTRAINT pk_workspace_agent_memory_resource_monitors PRIMARY KEY (agent_id),
    CONSTRAINT fk_workspace_agent_memory_resource_monitors_agent_id_wo_4058
        FOREIGN KEY(agent_id) REFERENCES workspace_agents (id) ON DELETE CASCADE
);
CREATE TABLE workspace_agent_volume_resource_monitors (
    agent_id UUID NOT NULL,
    path TEXT NOT NULL,
    enabled BOOLEAN NOT NULL,
    threshold INTEGER NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    state workspace_agent_monitor_state DEFAULT 'OK' NOT NULL,
    debounced_until TIMESTAMP WITH TIME ZONE DEFAULT '0001-01-01 00:00:00+00' NOT NULL,
    CONSTRAINT pk_workspace_agent_volume_resource_monitors PRIMARY KEY (agent_id, path),
    CONSTRAINT fk_workspace_agent_volume_resource_monitors_agent_id_wo_fd42
        FOREIGN KEY(agent_id) REFERENCES workspace_agents (id) ON DELETE CASCADE
);
CREATE TABLE workspace_apps (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    agent_id UUID NOT NULL,
    slug TEXT NOT NULL,
    display_name VARCHAR(64) NOT NULL,
    icon VARCHAR(256) NOT NULL,
    command VARCHAR(65534),
    url VARCHAR(65534),
    external BOOLEAN DEFAULT false NOT NULL,
    subdomain BOOLEAN DEFAULT false NOT NULL,
    sharing_level app_sharing_level DEFAULT 'owner' NOT NULL,
    healthcheck_url TEXT DEFAULT '' NOT NULL,
    healthcheck_interval INTEGER DEFAULT 0 NOT NULL,
    healthcheck_threshold INTEGER DEFAULT 0 NOT NULL,
    health workspace_app_health DEFAULT 'disabled' NOT NULL,
    display_order INTEGER DEFAULT 0 NOT NULL,
    display_group VARCHAR(64),
    hidden BOOLEAN DEFAULT false NOT NULL,
    open_in workspace_app_open_in DEFAULT 'slim-window' NOT NULL,
    tooltip VARCHAR(2048) DEFAULT '' NOT NULL,
    CONSTRAINT pk_workspace_apps PRIMARY KEY (id),
    CONSTRAINT uq_workspace_apps_agent_id_slug UNIQUE (agent_id, slug),
    CONSTRAINT fk_workspace_apps_agent_id_workspace_agents
        FOREIGN KEY(agent_id) REFERENCES workspace_agents (id) ON DELETE CASCADE
)
"""
MADE = (
    "workspace_apps",
    "workspace_agent_volume_resource_monitors",
    "workspace_agent_memory_resource_monitors",
    "workspace_agent_devcontainers",
    "workspace_agent_scripts",
    "workspace_agent_log_sources",
    "workspace_agent_metadata",
    "workspace_agents",
)
# A unique index cannot do it: the build is two tables away.
UNIQUE_NAMES = """
CREATE FUNCTION refuse_second_agent_of_name() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1
        FROM workspace_resources AS mine
        JOIN workspace_builds AS build ON build.job_id = mine.job_id
        JOIN workspace_resources AS resource ON resource.job_id = build.job_id
        JOIN workspace_agents AS agent ON agent.resource_id = resource.id
        WHERE mine.id = NEW.resource_id
          AND agent.id <> NEW.id
          AND lower(agent.name) = lower(NEW.name)
          AND NOT agent.deleted
    ) THEN
        RAISE unique_violation USING
            MESSAGE = format(
                'workspace agent name "%s" already exists in this workspace build', NEW.name
            ),
            CONSTRAINT = 'workspace_agent_name_unique_in_build';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER workspace_agent_name_unique_in_build
    BEFORE INSERT OR UPDATE OF name, resource_id ON workspace_agents
    FOR EACH ROW EXECUTE FUNCTION refuse_second_agent_of_name()
"""
COLUMNS = ("has_ai_task", "has_external_agent")


def upgrade() -> None:
    for name, values in TYPES.items():
        listed = ", ".join(f"'{value}'" for value in values)
        op.execute(f"CREATE TYPE {name} AS ENUM ({listed})")
    op.execute(TABLES)
    op.execute(UNIQUE_NAMES)
    for name in COLUMNS:
        op.add_column("workspace_builds", sa.Column(name, sa.Boolean(), nullable=True))


def downgrade() -> None:
    for name in COLUMNS:
        op.drop_column("workspace_builds", name)
    for table in MADE:
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_second_agent_of_name()")
    for name in TYPES:
        op.execute(f"DROP TYPE {name}")
