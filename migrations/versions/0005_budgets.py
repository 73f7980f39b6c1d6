"""Caps on spending, what was spent by day, and how people hear of caps and raise them.

Revision ID: 0005
Revises: 0004
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# A cap is for a run, an agent or the whole tenant: subject_id is that row's id.
BUDGETS = """
CREATE TABLE budgets (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    cap text NOT NULL CHECK (cap IN ('run', 'agent_day', 'tenant_month')),
    subject_id uuid NOT NULL,
    limit_usd_micros bigint NOT NULL CHECK (limit_usd_micros >= 0),
    set_by text NOT NULL DEFAULT '',
    set_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, cap, subject_id)
);
CREATE INDEX budgets_tenant_id_set_time_cap_subject_id_idx ON budgets (tenant_id, set_time, cap, subject_id);
"""

SPEND_DAYS = """
CREATE TABLE spend_days (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    day date NOT NULL,
    agent_id uuid NOT NULL REFERENCES agents (id),
    model_alias text NOT NULL,
    call_count bigint NOT NULL DEFAULT 0,
    abandoned_call_count bigint NOT NULL DEFAULT 0,
    tokens_input bigint NOT NULL DEFAULT 0,
    tokens_output bigint NOT NULL DEFAULT 0,
    tokens_cache_read bigint NOT NULL DEFAULT 0,
    tokens_cache_write bigint NOT NULL DEFAULT 0,
    spent_usd_micros bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, day, agent_id, model_alias)
);
CREATE INDEX spend_reservations_open_idx ON spend_reservations (tenant_id, created_time)
    WHERE status = 'open';
"""

READ_FOR_FILL = ("spend_reservations", "transcript_turns", "task_runs", "tenants", "agents")

# What was spent before this release counts towards this month's caps, too.
FILL = """
INSERT INTO spend_days
SELECT paid.tenant_id, (paid.created_time AT TIME ZONE 'UTC')::date, run.agent_id,
    coalesce(turn.model_alias, paid.model_alias),
    count(turn.position), count(*) FILTER (WHERE paid.status = 'abandoned'),
    coalesce(sum(turn.tokens_input), 0), coalesce(sum(turn.tokens_output), 0),
    coalesce(sum(turn.tokens_cache_read), 0), coalesce(sum(turn.tokens_cache_write), 0),
    sum(paid.spent_usd_micros)
FROM spend_reservations AS paid
JOIN task_runs AS run ON run.id = paid.task_run_id
LEFT JOIN transcript_turns AS turn ON turn.spend_reservation_id = paid.id
WHERE paid.status = 'abandoned' OR turn.position IS NOT NULL
GROUP BY 1, 2, 3, 4;
"""

GRANTS = """
GRANT SELECT, INSERT, UPDATE ON budgets, spend_days TO astra_service;
GRANT SELECT ON budgets, spend_days TO astra_operator;
GRANT SELECT (id, tenant_id, task_run_id, status, created_time) ON spend_reservations TO astra_relay;
GRANT SELECT (waiting_for) ON task_runs TO astra_relay;
"""

# An identity is how a source names somebody, as in "github:583231".
RAISES = """
ALTER TABLE principals ADD COLUMN identities text[] NOT NULL DEFAULT '{}';
ALTER TABLE thread_events ADD COLUMN raise_usd_micros bigint;
"""

EVENT_KINDS = """
ALTER TABLE thread_events DROP CONSTRAINT thread_events_kind_check;
ALTER TABLE thread_events ADD CONSTRAINT thread_events_kind_check CHECK (kind IN ({kinds}));
"""

POST_KINDS = """
ALTER TABLE thread_posts DROP CONSTRAINT thread_posts_kind_check;
ALTER TABLE thread_posts ADD CONSTRAINT thread_posts_kind_check CHECK (kind IN ({kinds}));
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute(BUDGETS)
    op.execute(SPEND_DAYS)
    _fill()
    for table in ("budgets", "spend_days"):
        op.execute(
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;"
            f"CREATE POLICY tenant ON {table}"
            " USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)"
            " WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);"
        )
    op.execute(GRANTS)
    op.execute(RAISES)
    op.execute(EVENT_KINDS.format(kinds="'message', 'stop', 'raise'"))
    op.execute(POST_KINDS.format(kinds="'answer', 'notice_failed', 'notice_cancelled', 'notice_paused'"))


def _fill() -> None:
    """Row-level security binds the owner too, so it is lifted for the owner while the rows are read."""
    for table in READ_FOR_FILL:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY;")
    op.execute(FILL)
    for table in READ_FOR_FILL:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;")


def downgrade() -> None:
    op.execute("DELETE FROM thread_posts WHERE kind = 'notice_paused';")
    op.execute(POST_KINDS.format(kinds="'answer', 'notice_failed', 'notice_cancelled'"))
    op.execute("DELETE FROM thread_events WHERE kind = 'raise';")
    op.execute(EVENT_KINDS.format(kinds="'message', 'stop'"))
    op.execute("ALTER TABLE thread_events DROP COLUMN raise_usd_micros;")
    op.execute("ALTER TABLE principals DROP COLUMN identities;")
    op.execute("DROP INDEX spend_reservations_open_idx;")
    op.execute("DROP TABLE budgets, spend_days;")
