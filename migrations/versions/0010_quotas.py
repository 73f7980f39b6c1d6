"""Limits that all processes share, and the leases on them: of accounts at vendors, not of tenants.

Revision ID: 0010
Revises: 0009
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("""
        CREATE TABLE quotas (
            key text COLLATE "C" PRIMARY KEY,
            limit_units bigint NOT NULL,
            window_length interval NOT NULL,
            blocked_until_time timestamptz,
            asked_time timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE quota_leases (
            id uuid PRIMARY KEY,
            quota_key text COLLATE "C" NOT NULL REFERENCES quotas (key) ON DELETE CASCADE,
            units bigint NOT NULL,
            expires_time timestamptz NOT NULL,
            CONSTRAINT quota_leases_units_check CHECK (units >= 0)
        );
        CREATE INDEX quota_leases_quota_key_expires_time_idx ON quota_leases (quota_key, expires_time);
        GRANT SELECT, INSERT, UPDATE, DELETE ON quotas, quota_leases TO astra_service;
        GRANT SELECT ON quotas, quota_leases TO astra_operator;
    """)


def downgrade() -> None:
    op.execute("DROP TABLE quota_leases, quotas;")
