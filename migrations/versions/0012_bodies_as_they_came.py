"""Keep the bodies of webhooks as they came: compressing them was two thirds of what a commit cost PostgreSQL.

Retention deletes them soon, so their room is not worth that time. Bodies kept before stay compressed and are
read all the same.

Revision ID: 0012
Revises: 0011
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("ALTER TABLE webhook_deliveries ALTER COLUMN body SET STORAGE EXTERNAL;")


def downgrade() -> None:
    op.execute("ALTER TABLE webhook_deliveries ALTER COLUMN body SET STORAGE EXTENDED;")
