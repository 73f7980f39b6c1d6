"""Which tools the runs of an agent are offered.

Revision ID: 0014
Revises: 0013
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("ALTER TABLE agents ADD COLUMN tools text[] NOT NULL DEFAULT '{}';")


def downgrade() -> None:
    op.execute("ALTER TABLE agents DROP COLUMN tools;")
