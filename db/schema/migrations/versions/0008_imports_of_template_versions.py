"""What a worker finds when it imports a template version, and who may build which version.

How it is deployed: at any time, with old and new workers running. The new tables are not known to
the code before it, and the new columns have constant defaults, so PostgreSQL only changes its
catalog.

A version that was stored before counts as imported, because the row of its job says so, and builds
of it go on. It has no row in ``template_version_terraform_values``; from that a worker sees that it
must read the declarations from the template's files.

An older worker does not know import jobs. Until the last one is replaced, push no template.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

PREBUILD_STATUS = """
CREATE TYPE prebuild_status AS ENUM ('healthy', 'hard_limited', 'validation_failed')
"""
TABLES = """
CREATE TABLE template_version_parameters (
    template_version_id UUID NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT DEFAULT '' NOT NULL,
    description TEXT DEFAULT '' NOT NULL,
    type TEXT DEFAULT 'string' NOT NULL,
    form_type TEXT DEFAULT '' NOT NULL,
    mutable BOOLEAN DEFAULT false NOT NULL,
    default_value TEXT DEFAULT '' NOT NULL,
    icon VARCHAR(256) DEFAULT '' NOT NULL,
    options JSONB DEFAULT '[]'::jsonb NOT NULL,
    validation_regex TEXT DEFAULT '' NOT NULL,
    validation_min BIGINT,
    validation_max BIGINT,
    validation_error TEXT DEFAULT '' NOT NULL,
    validation_monotonic TEXT DEFAULT '' NOT NULL,
    required BOOLEAN DEFAULT true NOT NULL,
    display_order INTEGER DEFAULT 0 NOT NULL,
    ephemeral BOOLEAN DEFAULT false NOT NULL,
    variable_type TEXT,
    CONSTRAINT pk_template_version_parameters PRIMARY KEY (template_version_id, name),
    CONSTRAINT ck_template_version_parameters_type_known
        CHECK (type IN ('string', 'number', 'bool', 'list(string)')),
    CONSTRAINT ck_template_version_parameters_validation_monotonic_known
        CHECK (validation_monotonic IN ('increasing', 'decreasing', '')),
    CONSTRAINT fk_template_version_parameters_template_version_id_temp_1e49
        FOREIGN KEY(template_version_id) REFERENCES template_versions (id) ON DELETE CASCADE
);
CREATE TABLE template_version_presets (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    template_version_id UUID NOT NULL,
    name TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    desired_instances INTEGER DEFAULT 0 NOT NULL,
    invalidate_after_secs INTEGER,
    scheduling_timezone TEXT DEFAULT '' NOT NULL,
    is_default BOOLEAN DEFAULT false NOT NULL,
    description VARCHAR(128) DEFAULT '' NOT NULL,
    icon VARCHAR(256) DEFAULT '' NOT NULL,
    prebuild_status prebuild_status DEFAULT 'healthy' NOT NULL,
    CONSTRAINT pk_template_version_presets PRIMARY KEY (id),
    CONSTRAINT uq_template_version_presets_template_version_id_name
        UNIQUE (template_version_id, name),
    CONSTRAINT fk_template_version_presets_template_version_id_templat_703b
        FOREIGN KEY(template_version_id) REFERENCES template_versions (id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX uq_template_version_presets_default
    ON template_version_presets (template_version_id) WHERE is_default;
CREATE TABLE template_version_preset_parameters (
    template_version_preset_id UUID NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_template_version_preset_parameters
        PRIMARY KEY (template_version_preset_id, name),
    CONSTRAINT fk_template_version_preset_parameters_template_version__e49e
        FOREIGN KEY(template_version_preset_id) REFERENCES template_version_presets (id)
            ON DELETE CASCADE
);
CREATE TABLE template_version_preset_prebuild_schedules (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    preset_id UUID NOT NULL,
    cron_expression TEXT NOT NULL,
    desired_instances INTEGER NOT NULL,
    CONSTRAINT pk_template_version_preset_prebuild_schedules PRIMARY KEY (id),
    CONSTRAINT fk_template_version_preset_prebuild_schedules_preset_id_8ac9
        FOREIGN KEY(preset_id) REFERENCES template_version_presets (id) ON DELETE CASCADE
);
CREATE INDEX ix_template_version_preset_prebuild_schedules_preset_id
    ON template_version_preset_prebuild_schedules (preset_id);
CREATE TABLE template_version_workspace_tags (
    template_version_id UUID NOT NULL,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_template_version_workspace_tags PRIMARY KEY (template_version_id, key),
    CONSTRAINT fk_template_version_workspace_tags_template_version_id__bdad
        FOREIGN KEY(template_version_id) REFERENCES template_versions (id) ON DELETE CASCADE
);
CREATE TABLE template_version_terraform_values (
    template_version_id UUID NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    cached_plan JSONB DEFAULT '{}'::jsonb NOT NULL,
    cached_module_files UUID,
    provisionerd_version TEXT DEFAULT '' NOT NULL,
    CONSTRAINT pk_template_version_terraform_values PRIMARY KEY (template_version_id),
    CONSTRAINT fk_template_version_terraform_values_template_version_i_cd32
        FOREIGN KEY(template_version_id) REFERENCES template_versions (id)
            ON DELETE CASCADE,
    CONSTRAINT fk_template_version_terraform_values_cached_module_files_files
        FOREIGN KEY(cached_module_files) REFERENCES files (id)
);
CREATE INDEX ix_template_version_terraform_values_cached_module_files
    ON template_version_terraform_values (cached_module_files);
CREATE TABLE workspace_modules (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    job_id UUID NOT NULL,
    transition workspace_transition NOT NULL,
    source TEXT NOT NULL,
    version TEXT DEFAULT '' NOT NULL,
    key TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workspace_modules PRIMARY KEY (id),
    CONSTRAINT fk_workspace_modules_job_id_provisioner_jobs
        FOREIGN KEY(job_id) REFERENCES provisioner_jobs (id) ON DELETE CASCADE
);
CREATE INDEX ix_workspace_modules_job_id ON workspace_modules (job_id)
"""
MADE = (
    "workspace_modules",
    "template_version_terraform_values",
    "template_version_workspace_tags",
    "template_version_preset_prebuild_schedules",
    "template_version_preset_parameters",
    "template_version_presets",
    "template_version_parameters",
)
NO, EMPTY_TEXT, EMPTY_LIST = sa.text("false"), sa.text("''"), sa.text("'[]'::jsonb")
COLUMNS = (
    ("templates", "require_active_version", sa.Boolean(), NO),
    ("templates", "disable_module_cache", sa.Boolean(), NO),
    ("templates", "deprecated", sa.Text(), EMPTY_TEXT),
    ("template_versions", "external_auth_providers", JSONB(), EMPTY_LIST),
    ("template_versions", "has_ai_task", sa.Boolean(), NO),
    ("template_versions", "has_external_agent", sa.Boolean(), NO),
    ("template_version_variables", "ephemeral", sa.Boolean(), NO),
    ("template_version_variables", "position", sa.Integer(), sa.text("0")),
)


def upgrade() -> None:
    op.execute(PREBUILD_STATUS)
    op.execute(TABLES)
    for table, name, kind, default in COLUMNS:
        op.add_column(table, sa.Column(name, kind, server_default=default, nullable=False))


def downgrade() -> None:
    for table, name, _kind, _default in COLUMNS:
        op.drop_column(table, name)
    for table in MADE:
        op.drop_table(table)
    op.execute("DROP TYPE prebuild_status")
