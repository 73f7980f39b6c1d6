"""The ledger of what tools change at vendors, and whether a run's requesters are trusted.

Revision ID: 0004
Revises: 0003
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    # Nobody can say of an older run who asked for it, so none is trusted.
    op.execute("ALTER TABLE task_runs ADD COLUMN requester_trusted boolean NOT NULL DEFAULT false;")
    op.execute("""
        CREATE TABLE effects (
            id uuid PRIMARY KEY,
            tenant_id uuid NOT NULL REFERENCES tenants (id),
            effect_key text NOT NULL,
            task_run_id uuid REFERENCES task_runs (id),
            call_id text NOT NULL DEFAULT '',
            tool_name text NOT NULL,
            request_sha256 text NOT NULL,
            requester text NOT NULL DEFAULT '',
            url text NOT NULL DEFAULT '',
            response_json text,
            created_time timestamptz NOT NULL DEFAULT now(),
            done_time timestamptz,
            UNIQUE (tenant_id, effect_key),
            CONSTRAINT effects_done_check CHECK ((done_time IS NULL) = (response_json IS NULL))
        );
        CREATE INDEX effects_task_run_id_idx ON effects (task_run_id);
        ALTER TABLE effects ENABLE ROW LEVEL SECURITY;
        ALTER TABLE effects FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON effects
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE ON effects TO astra_service;
        GRANT SELECT ON effects TO astra_operator;
    """)


def downgrade() -> None:
    op.execute("DROP TABLE effects;")
    op.execute("ALTER TABLE task_runs DROP COLUMN requester_trusted;")
