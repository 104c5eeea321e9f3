"""How users sign in, and workers that are bound to organizations.

How it is deployed: at any time, with old and new workers running. Both columns have constant
defaults, so PostgreSQL only changes its catalog. An older worker is bound to no organization: until
the last one is replaced, set no ``PROVISIONERD_ORGANIZATIONS`` that must hold.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, ENUM

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

LOGIN_TYPES = ("password", "github", "oidc", "token", "none", "oauth2_provider_app")


def upgrade() -> None:
    listed = ", ".join(f"'{value}'" for value in LOGIN_TYPES)
    op.execute(f"CREATE TYPE login_type AS ENUM ({listed})")
    op.add_column(
        "users",
        sa.Column(
            "login_type",
            ENUM(*LOGIN_TYPES, name="login_type", create_type=False),
            server_default="password",
            nullable=False,
        ),
    )
    op.add_column(
        "provisioner_daemons",
        sa.Column("organizations", ARRAY(sa.UUID()), server_default="{}", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("provisioner_daemons", "organizations")
    op.drop_column("users", "login_type")
    op.execute("DROP TYPE login_type")
