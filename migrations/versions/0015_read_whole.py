"""When a container was last read whole, so that what was told before needs no reading of its own.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("""
        ALTER TABLE source_cursors
            ADD COLUMN begun_time timestamptz,
            ADD COLUMN seen_until timestamptz;
    """)


def downgrade() -> None:
    op.execute("ALTER TABLE source_cursors DROP COLUMN begun_time, DROP COLUMN seen_until;")
