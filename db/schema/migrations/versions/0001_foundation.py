"""The foundation: all tables that a workspace build needs.

How it is deployed: on an empty database, by `provisionerd migrate`, before any worker starts.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

AUTOMATIC_UPDATES = postgresql.ENUM("always", "never", name="automatic_updates", create_type=False)
BUILD_REASON = postgresql.ENUM(
    "initiator",
    "autostart",
    "autostop",
    "dormancy",
    "autodelete",
    name="build_reason",
    create_type=False,
)
GROUP_SOURCE = postgresql.ENUM("user", "oidc", name="group_source", create_type=False)
LOG_LEVEL = postgresql.ENUM(
    "trace", "debug", "info", "warn", "error", name="log_level", create_type=False
)
LOG_SOURCE = postgresql.ENUM(
    "provisioner_daemon", "provisioner", name="log_source", create_type=False
)
PROVISIONER_JOB_STATUS = postgresql.ENUM(
    "pending",
    "running",
    "succeeded",
    "canceling",
    "canceled",
    "failed",
    "unknown",
    name="provisioner_job_status",
    create_type=False,
)
PROVISIONER_JOB_TIMING_STAGE = postgresql.ENUM(
    "init", "plan", "graph", "apply", name="provisioner_job_timing_stage", create_type=False
)
PROVISIONER_JOB_TYPE = postgresql.ENUM(
    "template_version_import",
    "workspace_build",
    "template_version_dry_run",
    name="provisioner_job_type",
    create_type=False,
)
PROVISIONER_STORAGE_METHOD = postgresql.ENUM(
    "file", name="provisioner_storage_method", create_type=False
)
PROVISIONER_TYPE = postgresql.ENUM("echo", "terraform", name="provisioner_type", create_type=False)
USER_STATUS = postgresql.ENUM(
    "active", "suspended", "dormant", name="user_status", create_type=False
)
WORKSPACE_TRANSITION = postgresql.ENUM(
    "start", "stop", "delete", name="workspace_transition", create_type=False
)

ENUMS = (
    AUTOMATIC_UPDATES,
    BUILD_REASON,
    GROUP_SOURCE,
    LOG_LEVEL,
    LOG_SOURCE,
    PROVISIONER_JOB_STATUS,
    PROVISIONER_JOB_TIMING_STAGE,
    PROVISIONER_JOB_TYPE,
    PROVISIONER_STORAGE_METHOD,
    PROVISIONER_TYPE,
    USER_STATUS,
    WORKSPACE_TRANSITION,
)


# Members of a group: the explicit members; for the Everyone group (its id is that of the
# organization), all members of the organization. UNION removes duplicates. Suspended users are still
# members; deleted users are not. Source: the view of the same name in Coder.
GROUP_MEMBERS_EXPANDED = """
CREATE VIEW group_members_expanded AS
WITH all_members AS (
    SELECT user_id, group_id FROM group_members
    UNION
    SELECT user_id, organization_id AS group_id FROM organization_members
)
SELECT users.id AS user_id,
       users.username AS user_username,
       users.status AS user_status,
       groups.organization_id,
       groups.id AS group_id,
       groups.name AS group_name
FROM all_members
JOIN users ON users.id = all_members.user_id
JOIN groups ON groups.id = all_members.group_id
WHERE NOT users.deleted
"""

FORGET_GROUPS_OF_FORMER_MEMBER = """
CREATE FUNCTION forget_groups_of_former_member() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM group_members
    USING groups
    WHERE group_members.group_id = groups.id
      AND groups.organization_id = OLD.organization_id
      AND group_members.user_id = OLD.user_id;
    RETURN OLD;
END
$$;
CREATE TRIGGER forget_groups_of_former_member
AFTER DELETE ON organization_members
FOR EACH ROW EXECUTE FUNCTION forget_groups_of_former_member()
"""

# "A finished job never changes again", as a rule of the database. The guards of db.jobs.moves make
# an update match no row; this trigger stops statements that bypass them.
FINISHED_JOB_IS_FINAL = """
CREATE FUNCTION finished_job_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'provisioner job % is finished and cannot change', OLD.id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'finished_job_is_final';
END
$$;
CREATE TRIGGER finished_job_is_final
BEFORE UPDATE ON provisioner_jobs
FOR EACH ROW WHEN (OLD.completed_at IS NOT NULL)
EXECUTE FUNCTION finished_job_is_final()
"""


def upgrade() -> None:
    for enum in ENUMS:
        enum.create(op.get_bind())
    op.create_table(
        "files",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("created_by", sa.UUID(), nullable=False),
        sa.Column("mimetype", sa.String(length=64), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_files")),
        sa.UniqueConstraint("hash", "created_by", name=op.f("uq_files_hash_created_by")),
    )
    op.create_table(
        "organizations",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_index(
        "uq_organizations_default",
        "organizations",
        ["is_default"],
        unique=True,
        postgresql_where="is_default",
    )
    op.create_index(
        "uq_organizations_name", "organizations", [sa.literal_column("lower(name)")], unique=True
    )
    op.create_table(
        "provisioner_daemons",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("provisioners", sa.ARRAY(PROVISIONER_TYPE), nullable=False),
        sa.Column(
            "tags",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text('\'{"scope": "organization", "owner": ""}\'::jsonb'),
            nullable=False,
        ),
        sa.Column("queues", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("concurrency", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("draining", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("version", sa.Text(), server_default="", nullable=False),
        sa.Column("api_version", sa.Text(), server_default="1.0", nullable=False),
        sa.Column("hostname", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioner_daemons")),
    )
    op.create_index(
        "uq_provisioner_daemons_name_owner",
        "provisioner_daemons",
        [
            sa.literal_column("lower(name)"),
            sa.literal_column("lower(coalesce(tags ->> 'owner', ''))"),
        ],
        unique=True,
    )
    op.create_table(
        "users",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("username", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), server_default="", nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("status", USER_STATUS, server_default="active", nullable=False),
        sa.Column(
            "rbac_roles", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("avatar_url", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
    )
    op.create_index(
        "uq_users_username",
        "users",
        [sa.literal_column("lower(username)")],
        unique=True,
        postgresql_where="NOT deleted",
    )
    op.create_table(
        "groups",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("avatar_url", sa.Text(), server_default="", nullable=False),
        sa.Column("quota_allowance", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("display_name", sa.Text(), server_default="", nullable=False),
        sa.Column("source", GROUP_SOURCE, server_default="user", nullable=False),
        sa.CheckConstraint(
            "quota_allowance >= 0", name=op.f("ck_groups_quota_allowance_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_groups_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_groups")),
    )
    op.create_index("ix_groups_organization_id", "groups", ["organization_id"], unique=False)
    op.create_index(
        "uq_groups_name_organization_id",
        "groups",
        [sa.literal_column("lower(name)"), "organization_id"],
        unique=True,
    )
    op.create_table(
        "organization_members",
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("roles", sa.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_organization_members_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_organization_members_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "user_id", name=op.f("pk_organization_members")),
    )
    op.create_index(
        op.f("ix_organization_members_user_id"), "organization_members", ["user_id"], unique=False
    )
    op.create_table(
        "quota_accounts",
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_quota_accounts_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"],
            ["users.id"],
            name=op.f("fk_quota_accounts_owner_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("organization_id", "owner_id", name=op.f("pk_quota_accounts")),
    )
    op.create_table(
        "templates",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("display_name", sa.Text(), server_default="", nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("icon", sa.Text(), server_default="", nullable=False),
        sa.Column("provisioner", PROVISIONER_TYPE, nullable=False),
        sa.Column("active_version_id", sa.UUID(), nullable=True),
        sa.Column("created_by", sa.UUID(), nullable=False),
        sa.Column(
            "allow_user_cancel_workspace_jobs",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
        ),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_templates_created_by_users")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_templates_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_templates")),
    )
    op.create_index(
        "uq_templates_organization_id_name",
        "templates",
        ["organization_id", sa.literal_column("lower(name)")],
        unique=True,
        postgresql_where="NOT deleted",
    )
    op.create_table(
        "group_members",
        sa.Column("user_id", sa.UUID(), nullable=False),
        sa.Column("group_id", sa.UUID(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"],
            ["groups.id"],
            name=op.f("fk_group_members_group_id_groups"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"],
            ["users.id"],
            name=op.f("fk_group_members_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("user_id", "group_id", name=op.f("pk_group_members")),
    )
    op.create_index(op.f("ix_group_members_group_id"), "group_members", ["group_id"], unique=False)
    op.create_table(
        "workspaces",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("owner_id", sa.UUID(), nullable=False),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("template_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("deleted", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("autostart_schedule", sa.Text(), nullable=True),
        sa.Column("ttl", sa.BigInteger(), nullable=True),
        sa.Column(
            "last_used_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("'0001-01-01 00:00:00+00'"),
            nullable=False,
        ),
        sa.Column("dormant_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleting_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("automatic_updates", AUTOMATIC_UPDATES, server_default="never", nullable=False),
        sa.Column("favorite", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_workspaces_organization_id_organizations"),
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_workspaces_owner_id_users")
        ),
        sa.ForeignKeyConstraint(
            ["template_id"], ["templates.id"], name=op.f("fk_workspaces_template_id_templates")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspaces")),
    )
    op.create_index(
        "ix_workspaces_owner_id_organization_id",
        "workspaces",
        ["owner_id", "organization_id"],
        unique=False,
        postgresql_where="NOT deleted",
    )
    op.create_index(op.f("ix_workspaces_template_id"), "workspaces", ["template_id"], unique=False)
    op.create_index(
        "uq_workspaces_owner_id_name",
        "workspaces",
        ["owner_id", sa.literal_column("lower(name)")],
        unique=True,
        postgresql_where="NOT deleted",
    )
    op.create_table(
        "provisioner_jobs",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("initiator_id", sa.UUID(), nullable=False),
        sa.Column("provisioner", PROVISIONER_TYPE, nullable=False),
        sa.Column(
            "storage_method", PROVISIONER_STORAGE_METHOD, server_default="file", nullable=False
        ),
        sa.Column("file_id", sa.UUID(), nullable=False),
        sa.Column("type", PROVISIONER_JOB_TYPE, nullable=False),
        sa.Column("input", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=True),
        sa.Column(
            "tags",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text('\'{"scope": "organization", "owner": ""}\'::jsonb'),
            nullable=False,
        ),
        sa.Column("trace_metadata", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("logs_length", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("logs_overflowed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "job_status",
            PROVISIONER_JOB_STATUS,
            sa.Computed(
                "\nCASE\n    WHEN completed_at IS NOT NULL THEN CASE\n        WHEN error <> '' THEN 'failed'::provisioner_job_status\n        WHEN canceled_at IS NOT NULL THEN 'canceled'::provisioner_job_status\n        ELSE 'succeeded'::provisioner_job_status\n    END\n    WHEN error <> '' THEN 'failed'::provisioner_job_status\n    WHEN canceled_at IS NOT NULL THEN 'canceling'::provisioner_job_status\n    WHEN started_at IS NULL THEN 'pending'::provisioner_job_status\n    ELSE 'running'::provisioner_job_status\nEND\n",
                persisted=True,
            ),
            nullable=False,
        ),
        sa.Column("workspace_id", sa.UUID(), nullable=True),
        sa.Column("owner_id", sa.UUID(), nullable=True),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("fair_rank", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("lease_token", sa.UUID(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("failure_reason", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "error_code IN ('MISSING_TEMPLATE_PARAMETER', 'REQUIRED_TEMPLATE_VARIABLES', 'INSUFFICIENT_QUOTA')",
            name=op.f("ck_provisioner_jobs_error_code_known"),
        ),
        sa.CheckConstraint(
            "error_code IS NULL OR coalesce(error, '') <> ''",
            name=op.f("ck_provisioner_jobs_error_code_has_error"),
        ),
        sa.CheckConstraint(
            "type <> 'workspace_build' OR (workspace_id IS NOT NULL AND owner_id IS NOT NULL)",
            name=op.f("ck_provisioner_jobs_build_names_workspace"),
        ),
        sa.CheckConstraint(
            "completed_at IS NOT NULL OR (lease_token IS NOT NULL) = (started_at IS NOT NULL)",
            name=op.f("ck_provisioner_jobs_lease_while_running"),
        ),
        sa.CheckConstraint(
            "attempt >= 0 AND fair_rank >= 0", name=op.f("ck_provisioner_jobs_counts_not_negative")
        ),
        sa.CheckConstraint(
            "canceled_at IS NULL OR started_at IS NOT NULL OR completed_at IS NOT NULL",
            name=op.f("ck_provisioner_jobs_canceled_pending_is_completed"),
        ),
        sa.CheckConstraint(
            "error IS NULL OR completed_at IS NOT NULL",
            name=op.f("ck_provisioner_jobs_error_is_final"),
        ),
        sa.CheckConstraint(
            "lease_token IS NULL OR worker_id IS NOT NULL",
            name=op.f("ck_provisioner_jobs_lease_has_worker"),
        ),
        sa.CheckConstraint(
            "logs_length BETWEEN 0 AND 1048576",
            name=op.f("ck_provisioner_jobs_logs_length_bounded"),
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["files.id"], name=op.f("fk_provisioner_jobs_file_id_files")
        ),
        sa.ForeignKeyConstraint(
            ["initiator_id"], ["users.id"], name=op.f("fk_provisioner_jobs_initiator_id_users")
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_provisioner_jobs_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_provisioner_jobs_owner_id_users")
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_provisioner_jobs_workspace_id_workspaces"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioner_jobs")),
    )
    # Rows are updated a few times. Free space on the page keeps these updates HOT.
    op.execute("ALTER TABLE provisioner_jobs SET (fillfactor = 70)")
    op.create_index(
        "ix_provisioner_jobs_active_owner",
        "provisioner_jobs",
        ["owner_id"],
        unique=False,
        postgresql_where="completed_at IS NULL",
    )
    op.create_index(
        "ix_provisioner_jobs_claimable",
        "provisioner_jobs",
        ["queue", "priority", "fair_rank", "created_at", "id"],
        unique=False,
        postgresql_where="started_at IS NULL AND completed_at IS NULL",
    )
    op.create_index(
        "ix_provisioner_jobs_completed_at",
        "provisioner_jobs",
        ["completed_at"],
        unique=False,
        postgresql_where="completed_at IS NOT NULL",
    )
    op.create_index(
        "ix_provisioner_jobs_newest",
        "provisioner_jobs",
        ["organization_id", "created_at", "id"],
        unique=False,
    )
    op.create_index(
        "uq_provisioner_jobs_active_workspace",
        "provisioner_jobs",
        ["workspace_id"],
        unique=True,
        postgresql_where="completed_at IS NULL AND workspace_id IS NOT NULL",
    )
    op.create_table(
        "leases",
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("token", sa.UUID(), nullable=False),
        sa.Column("worker_id", sa.UUID(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["provisioner_jobs.id"],
            name=op.f("fk_leases_job_id_provisioner_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_leases")),
        sa.UniqueConstraint("token", name=op.f("uq_leases_token")),
    )
    op.execute("ALTER TABLE leases SET (fillfactor = 50)")
    op.create_table(
        "provisioner_job_logs",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("source", LOG_SOURCE, nullable=False),
        sa.Column("level", LOG_LEVEL, nullable=False),
        sa.Column("stage", sa.String(length=128), nullable=False),
        sa.Column("output", sa.String(length=1024), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["provisioner_jobs.id"],
            name=op.f("fk_provisioner_job_logs_job_id_provisioner_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioner_job_logs")),
    )
    op.create_index(
        "ix_provisioner_job_logs_job_id_id", "provisioner_job_logs", ["job_id", "id"], unique=False
    )
    op.create_table(
        "provisioner_job_timings",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("stage", PROVISIONER_JOB_TIMING_STAGE, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["provisioner_jobs.id"],
            name=op.f("fk_provisioner_job_timings_job_id_provisioner_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_provisioner_job_timings")),
    )
    op.create_index(
        op.f("ix_provisioner_job_timings_job_id"),
        "provisioner_job_timings",
        ["job_id"],
        unique=False,
    )
    op.create_table(
        "template_versions",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("template_id", sa.UUID(), nullable=True),
        sa.Column("organization_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("readme", sa.String(length=1048576), server_default="", nullable=False),
        sa.Column("message", sa.String(length=1048576), server_default="", nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("created_by", sa.UUID(), nullable=False),
        sa.Column("archived", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_template_versions_created_by_users")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["provisioner_jobs.id"],
            name=op.f("fk_template_versions_job_id_provisioner_jobs"),
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_template_versions_organization_id_organizations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["template_id"],
            ["templates.id"],
            name=op.f("fk_template_versions_template_id_templates"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template_versions")),
        sa.UniqueConstraint("job_id", name=op.f("uq_template_versions_job_id")),
        sa.UniqueConstraint(
            "template_id", "name", name=op.f("uq_template_versions_template_id_name")
        ),
    )
    op.create_index(
        op.f("ix_template_versions_template_id"), "template_versions", ["template_id"], unique=False
    )
    op.create_table(
        "workspace_resources",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("transition", WORKSPACE_TRANSITION, nullable=False),
        sa.Column("type", sa.String(length=192), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("hide", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("icon", sa.String(length=256), server_default="", nullable=False),
        sa.Column("instance_type", sa.String(length=256), nullable=True),
        sa.Column("daily_cost", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("module_path", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["provisioner_jobs.id"],
            name=op.f("fk_workspace_resources_job_id_provisioner_jobs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspace_resources")),
    )
    op.create_index(
        op.f("ix_workspace_resources_job_id"), "workspace_resources", ["job_id"], unique=False
    )
    op.create_table(
        "template_version_variables",
        sa.Column("template_version_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("type", sa.Text(), server_default="string", nullable=False),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("default_value", sa.Text(), server_default="", nullable=False),
        sa.Column("required", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("sensitive", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["template_version_id"],
            ["template_versions.id"],
            name=op.f("fk_template_version_variables_template_version_id_template_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "template_version_id", "name", name=op.f("pk_template_version_variables")
        ),
    )
    op.create_table(
        "workspace_builds",
        sa.Column("id", sa.UUID(), server_default=sa.text("gen_random_uuid()"), nullable=False),
        sa.Column("workspace_id", sa.UUID(), nullable=False),
        sa.Column("template_version_id", sa.UUID(), nullable=False),
        sa.Column("build_number", sa.Integer(), nullable=False),
        sa.Column("transition", WORKSPACE_TRANSITION, nullable=False),
        sa.Column("initiator_id", sa.UUID(), nullable=False),
        sa.Column("job_id", sa.UUID(), nullable=False),
        sa.Column("reason", BUILD_REASON, server_default="initiator", nullable=False),
        sa.Column(
            "deadline",
            sa.DateTime(timezone=True),
            server_default=sa.text("'0001-01-01 00:00:00+00'"),
            nullable=False,
        ),
        sa.Column(
            "max_deadline",
            sa.DateTime(timezone=True),
            server_default=sa.text("'0001-01-01 00:00:00+00'"),
            nullable=False,
        ),
        sa.Column("daily_cost", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("provisioner_state", sa.LargeBinary(), nullable=True),
        sa.Column("state_lineage", sa.Text(), nullable=True),
        sa.Column("state_serial", sa.BigInteger(), nullable=True),
        sa.Column("checkpoint_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("quota_budget", sa.BigInteger(), nullable=True),
        sa.Column("quota_credits_consumed", sa.BigInteger(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(provisioner_state IS NULL) OR (state_lineage IS NOT NULL AND state_serial IS NOT NULL)",
            name=op.f("ck_workspace_builds_state_is_identified"),
        ),
        sa.CheckConstraint(
            "build_number > 0", name=op.f("ck_workspace_builds_build_number_positive")
        ),
        sa.CheckConstraint(
            "daily_cost >= 0", name=op.f("ck_workspace_builds_daily_cost_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["initiator_id"], ["users.id"], name=op.f("fk_workspace_builds_initiator_id_users")
        ),
        sa.ForeignKeyConstraint(
            ["job_id"],
            ["provisioner_jobs.id"],
            name=op.f("fk_workspace_builds_job_id_provisioner_jobs"),
        ),
        sa.ForeignKeyConstraint(
            ["template_version_id"],
            ["template_versions.id"],
            name=op.f("fk_workspace_builds_template_version_id_template_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["workspace_id"],
            ["workspaces.id"],
            name=op.f("fk_workspace_builds_workspace_id_workspaces"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspace_builds")),
        sa.UniqueConstraint("job_id", name=op.f("uq_workspace_builds_job_id")),
    )
    op.create_index(
        "uq_workspace_builds_workspace_id_build_number",
        "workspace_builds",
        ["workspace_id", "build_number"],
        unique=True,
        postgresql_include=["daily_cost"],
    )
    op.create_table(
        "workspace_resource_metadata",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("workspace_resource_id", sa.UUID(), nullable=False),
        sa.Column("key", sa.String(length=1024), nullable=False),
        sa.Column("value", sa.String(length=65536), nullable=True),
        sa.Column("sensitive", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_resource_id"],
            ["workspace_resources.id"],
            name=op.f("fk_workspace_resource_metadata_workspace_resource_id_workspace_resources"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workspace_resource_metadata")),
        sa.UniqueConstraint(
            "workspace_resource_id",
            "key",
            name=op.f("uq_workspace_resource_metadata_workspace_resource_id_key"),
        ),
    )
    op.create_table(
        "workspace_build_parameters",
        sa.Column("workspace_build_id", sa.UUID(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["workspace_build_id"],
            ["workspace_builds.id"],
            name=op.f("fk_workspace_build_parameters_workspace_build_id_workspace_builds"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "workspace_build_id", "name", name=op.f("pk_workspace_build_parameters")
        ),
    )
    # Templates and template versions point at each other: the second key comes last.
    op.create_foreign_key(
        "fk_templates_active_version_id_template_versions",
        "templates",
        "template_versions",
        ["active_version_id"],
        ["id"],
    )
    op.execute(GROUP_MEMBERS_EXPANDED)
    op.execute(FORGET_GROUPS_OF_FORMER_MEMBER)
    op.execute(FINISHED_JOB_IS_FINAL)


def downgrade() -> None:
    raise NotImplementedError("the first migration has nothing before it; drop the database")
