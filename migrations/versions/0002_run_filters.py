"""Indexes for the filters of the list of runs, so that the cost of a filtered page does not grow either.

Revision ID: 0002
Revises: 0001
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    for column in ("outcome", "source", "model_alias"):
        op.execute(
            f"CREATE INDEX task_runs_by_{column}_idx"
            f" ON task_runs (tenant_id, {column}, created_time DESC, id DESC);"
        )


def downgrade() -> None:
    for column in ("outcome", "source", "model_alias"):
        op.execute(f"DROP INDEX task_runs_by_{column}_idx;")
