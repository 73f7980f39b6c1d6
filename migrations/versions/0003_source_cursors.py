"""How far each source container was read by catch-up.

Revision ID: 0003
Revises: 0002
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("""
        CREATE TABLE source_cursors (
            tenant_id uuid NOT NULL REFERENCES tenants (id),
            source text NOT NULL,
            container text NOT NULL,
            cursor text NOT NULL DEFAULT '',
            claimed_until timestamptz NOT NULL DEFAULT now(),
            updated_time timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant_id, source, container)
        );
        ALTER TABLE source_cursors ENABLE ROW LEVEL SECURITY;
        ALTER TABLE source_cursors FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON source_cursors
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE ON source_cursors TO astra_service;
        GRANT SELECT ON source_cursors TO astra_operator;
    """)


def downgrade() -> None:
    op.execute("DROP TABLE source_cursors;")
