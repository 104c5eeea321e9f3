"""The reasons that Coder's clients give for a build.

How it is deployed: at any time, with old and new workers running: workers do not read the reason.
Services and commands of 0.1.0 cannot read a build with one of these reasons, so replace them before
`provisionerd serve` is used: only the HTTP API and the page store them.
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0022"
branch_labels = None
depends_on = None

REASONS = (
    "dashboard",
    "cli",
    "ssh_connection",
    "vscode_connection",
    "jetbrains_connection",
    "task_auto_pause",
    "task_manual_pause",
    "task_resume",
)


def upgrade() -> None:
    for reason in REASONS:
        op.execute(f"ALTER TYPE build_reason ADD VALUE IF NOT EXISTS '{reason}'")


def downgrade() -> None:
    """Keep the values: PostgreSQL cannot take one out of a type, and nobody is disturbed by them."""
