"""Agents and their framing are changed through Astra, so its role may write them.

Revision ID: 0013
Revises: 0012
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("""
        GRANT INSERT, UPDATE ON agents, personalities TO astra_service;
        GRANT INSERT, DELETE ON agent_personalities TO astra_service;
    """)


def downgrade() -> None:
    op.execute("""
        REVOKE INSERT, UPDATE ON agents, personalities FROM astra_service;
        REVOKE INSERT, DELETE ON agent_personalities FROM astra_service;
    """)
