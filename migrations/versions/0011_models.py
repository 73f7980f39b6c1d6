"""Why a model stopped, on its turn; and which model answers for a tenant or an agent.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("""
        ALTER TABLE transcript_turns ADD COLUMN finish_reason text NOT NULL DEFAULT '';
        CREATE TABLE model_defaults (
            tenant_id uuid NOT NULL REFERENCES tenants (id),
            subject_id uuid NOT NULL,
            operation text NOT NULL,
            model_alias text NOT NULL,
            set_by text NOT NULL DEFAULT '',
            set_time timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant_id, subject_id, operation)
        );
        ALTER TABLE model_defaults ENABLE ROW LEVEL SECURITY;
        ALTER TABLE model_defaults FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON model_defaults
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE, DELETE ON model_defaults TO astra_service;
        GRANT SELECT ON model_defaults TO astra_operator;
    """)


def downgrade() -> None:
    op.execute("""
        DROP TABLE model_defaults;
        ALTER TABLE transcript_turns DROP COLUMN finish_reason;
    """)
