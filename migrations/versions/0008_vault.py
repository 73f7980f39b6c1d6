"""The vault: sealed tokens of agents, the record of who used them, and a principal for each agent.

Revision ID: 0008
Revises: 0007
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    # An agent calls nobody itself, so its principal has no token.
    op.execute("ALTER TABLE principals ALTER COLUMN token_sha256 DROP NOT NULL;")
    op.execute("""
        CREATE TABLE agent_tokens (
            id uuid PRIMARY KEY,
            tenant_id uuid NOT NULL REFERENCES tenants (id),
            integration text NOT NULL,
            agent_slug text NOT NULL DEFAULT '',
            uses text[] NOT NULL,
            key_id text NOT NULL,
            wrapped_key bytea NOT NULL,
            ciphertext bytea NOT NULL,
            put_by text NOT NULL,
            put_time timestamptz NOT NULL DEFAULT now(),
            UNIQUE (tenant_id, integration, agent_slug),
            CONSTRAINT agent_tokens_integration_check
                CHECK (integration IN ('github', 'google', 'slack', 'plane', 'brave'))
        );
        CREATE INDEX agent_tokens_by_key_idx ON agent_tokens (key_id, id);
        ALTER TABLE agent_tokens ENABLE ROW LEVEL SECURITY;
        ALTER TABLE agent_tokens FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON agent_tokens
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT, UPDATE, DELETE ON agent_tokens TO astra_service;
        GRANT SELECT (id, tenant_id, key_id) ON agent_tokens TO astra_relay;
        GRANT SELECT ON agent_tokens TO astra_operator;
    """)
    op.execute("""
        CREATE TABLE audit_events (
            id uuid PRIMARY KEY,
            tenant_id uuid NOT NULL REFERENCES tenants (id),
            action text NOT NULL,
            principal text NOT NULL,
            called_by text NOT NULL,
            task_run_id uuid REFERENCES task_runs (id),
            integration text NOT NULL,
            agent_slug text NOT NULL,
            agent_token_id uuid NOT NULL,
            use text NOT NULL DEFAULT '',
            key_id text NOT NULL,
            created_time timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT audit_events_action_check CHECK (action IN ('put', 'opened', 'deleted', 'resealed')),
            CONSTRAINT audit_events_use_check CHECK (use IN ('', 'read', 'write'))
        );
        CREATE INDEX audit_events_by_time_idx ON audit_events (tenant_id, created_time DESC, id DESC);
        CREATE INDEX audit_events_task_run_id_idx ON audit_events (task_run_id);
        ALTER TABLE audit_events ENABLE ROW LEVEL SECURITY;
        ALTER TABLE audit_events FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON audit_events
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT ON audit_events TO astra_service;
        GRANT SELECT ON audit_events TO astra_operator;
    """)


def downgrade() -> None:
    op.execute("DROP TABLE audit_events; DROP TABLE agent_tokens;")
    # Row-level security binds the owner too, who would see none of the rows to delete.
    op.execute("ALTER TABLE principals NO FORCE ROW LEVEL SECURITY;")
    op.execute("DELETE FROM principals WHERE token_sha256 IS NULL;")
    op.execute("ALTER TABLE principals FORCE ROW LEVEL SECURITY;")
    op.execute("ALTER TABLE principals ALTER COLUMN token_sha256 SET NOT NULL;")
