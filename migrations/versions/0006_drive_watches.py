"""Channels by which Google tells of changes in Drive: one live watch a target.

Revision ID: 0006
Revises: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("""
        CREATE TABLE drive_watches (
            channel_id uuid PRIMARY KEY,
            tenant_id uuid NOT NULL REFERENCES tenants (id),
            file_id text NOT NULL DEFAULT '',
            drive_id text NOT NULL DEFAULT '',
            watches_log boolean NOT NULL,
            agent_id uuid NOT NULL,
            resource_id text NOT NULL,
            address text NOT NULL,
            expiration_time timestamptz NOT NULL,
            created_time timestamptz NOT NULL DEFAULT now(),
            stopped_time timestamptz
        );
        CREATE UNIQUE INDEX drive_watches_live_by_target_idx ON drive_watches (tenant_id, file_id, drive_id)
            WHERE stopped_time IS NULL;
        CREATE INDEX drive_watches_by_expiration_idx
            ON drive_watches (tenant_id, expiration_time, channel_id);
        CREATE INDEX drive_watches_due_idx ON drive_watches (expiration_time) WHERE stopped_time IS NULL;
        ALTER TABLE drive_watches ENABLE ROW LEVEL SECURITY;
        ALTER TABLE drive_watches FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON drive_watches
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE ON drive_watches TO astra_service;
        GRANT SELECT (channel_id, tenant_id, expiration_time, stopped_time), DELETE ON drive_watches
            TO astra_relay;
        GRANT SELECT ON drive_watches TO astra_operator;
    """)


def downgrade() -> None:
    op.execute("DROP TABLE drive_watches;")
