"""Events of jobs and workspaces, and the webhooks that they are sent to.

How it is deployed: at any time, with old and new workers running. It creates tables that the code
before it does not know. Jobs that an older worker ends, and workspaces that an older service
changes, leave no event.
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

EVENTS = """
CREATE TABLE events (
    id BIGSERIAL NOT NULL,
    transaction_id BIGINT DEFAULT (pg_current_xact_id()::text)::bigint NOT NULL,
    time TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    type VARCHAR(64) NOT NULL,
    organization_id UUID NOT NULL,
    workspace_id UUID,
    owner_id UUID,
    data JSONB NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (id)
);
CREATE INDEX ix_events_transaction_id_id ON events (transaction_id, id)
"""
WEBHOOKS = """
CREATE TABLE webhooks (
    id UUID DEFAULT gen_random_uuid() NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    created_by UUID NOT NULL,
    organization_id UUID,
    url VARCHAR(2048) NOT NULL,
    secret TEXT NOT NULL,
    types TEXT[] DEFAULT '{}' NOT NULL,
    seen_transaction_id BIGINT DEFAULT (pg_current_xact_id()::text)::bigint NOT NULL,
    seen_id BIGINT DEFAULT 0 NOT NULL,
    CONSTRAINT pk_webhooks PRIMARY KEY (id),
    CONSTRAINT fk_webhooks_created_by_users
        FOREIGN KEY(created_by) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT fk_webhooks_organization_id_organizations
        FOREIGN KEY(organization_id) REFERENCES organizations (id) ON DELETE CASCADE
);
CREATE INDEX ix_webhooks_created_by ON webhooks (created_by);
CREATE INDEX ix_webhooks_organization_id ON webhooks (organization_id);
CREATE TABLE webhook_deliveries (
    id BIGSERIAL NOT NULL,
    webhook_id UUID NOT NULL,
    event_id BIGINT NOT NULL,
    subject UUID NOT NULL,
    body TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    next_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    delivered_at TIMESTAMP WITH TIME ZONE,
    parked_at TIMESTAMP WITH TIME ZONE,
    status INTEGER,
    error TEXT DEFAULT '' NOT NULL,
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
    CONSTRAINT ck_webhook_deliveries_attempts_not_negative CHECK (attempts >= 0),
    CONSTRAINT fk_webhook_deliveries_webhook_id_webhooks
        FOREIGN KEY(webhook_id) REFERENCES webhooks (id) ON DELETE CASCADE
);
CREATE INDEX ix_webhook_deliveries_waiting ON webhook_deliveries (next_at)
    WHERE delivered_at IS NULL AND parked_at IS NULL;
CREATE INDEX ix_webhook_deliveries_webhook_id_subject_id
    ON webhook_deliveries (webhook_id, subject, id)
"""


def upgrade() -> None:
    op.execute(EVENTS)
    op.execute(WEBHOOKS)


def downgrade() -> None:
    for table in ("webhook_deliveries", "webhooks", "events"):
        op.drop_table(table)
