"""The first tables: registry, task runs and their record, inbox and threads, with row-level security.

Revision ID: 0001
Revises:
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

REGISTRY = """
CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE,
    display_name text NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE principals (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    name text NOT NULL,
    scopes text[] NOT NULL,
    token_sha256 bytea NOT NULL UNIQUE,
    created_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name)
);

CREATE TABLE agents (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    slug text NOT NULL,
    display_name text NOT NULL,
    handles jsonb NOT NULL,
    turns_max integer NOT NULL CHECK (turns_max > 0),
    tokens_max bigint NOT NULL CHECK (tokens_max > 0),
    run_timeout_seconds integer NOT NULL CHECK (run_timeout_seconds > 0),
    mistakes_max integer NOT NULL CHECK (mistakes_max > 0),
    UNIQUE (tenant_id, slug)
);

CREATE TABLE personalities (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    slug text NOT NULL,
    text text NOT NULL,
    operations text[] NOT NULL,
    UNIQUE (tenant_id, slug)
);

CREATE TABLE agent_personalities (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    agent_id uuid NOT NULL REFERENCES agents (id),
    personality_id uuid NOT NULL REFERENCES personalities (id),
    position integer NOT NULL,
    PRIMARY KEY (agent_id, position)
);

CREATE TABLE repositories (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    slug text NOT NULL,
    clone_url text NOT NULL,
    default_branch text NOT NULL,
    spec_folders text[] NOT NULL,
    adr_folders text[] NOT NULL,
    start_policy text NOT NULL CHECK (start_policy IN ('standing_required', 'anyone')),
    created_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, slug)
);

CREATE TABLE source_containers (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    container text NOT NULL,
    repository_id uuid NOT NULL REFERENCES repositories (id),
    PRIMARY KEY (tenant_id, container)
);
CREATE INDEX source_containers_repository_id_idx ON source_containers (repository_id);
"""

RUNS = """
CREATE TABLE task_runs (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    agent_id uuid NOT NULL REFERENCES agents (id),
    thread_id uuid NOT NULL,
    thread_event_id uuid NOT NULL,
    thread_seq bigint NOT NULL,
    workflow_id text NOT NULL,
    source text NOT NULL,
    address jsonb NOT NULL,
    operation text NOT NULL,
    model_alias text NOT NULL,
    model_label text NOT NULL,
    message text NOT NULL,
    requester text NOT NULL,
    source_url text NOT NULL,
    repository_id uuid REFERENCES repositories (id),
    pinned_commit text NOT NULL DEFAULT '',
    prompt_sha256 text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'in_progress', 'waiting', 'completed')),
    waiting_for text NOT NULL DEFAULT '',
    wait_expires_time timestamptz,
    outcome text CHECK (outcome IN ('success', 'failure', 'cancelled')),
    outcome_reason text NOT NULL DEFAULT '',
    output jsonb,
    answered_by_task_run_id uuid REFERENCES task_runs (id),
    attempt_fence bigint NOT NULL DEFAULT 0,
    next_event_seq bigint NOT NULL DEFAULT 1,
    turn_count integer NOT NULL DEFAULT 0,
    tokens_input bigint NOT NULL DEFAULT 0,
    tokens_output bigint NOT NULL DEFAULT 0,
    tokens_cache_read bigint NOT NULL DEFAULT 0,
    tokens_cache_write bigint NOT NULL DEFAULT 0,
    estimated_cost_usd_micros bigint NOT NULL DEFAULT 0,
    duration_ms bigint,
    stop_requested_time timestamptz,
    created_time timestamptz NOT NULL DEFAULT now(),
    started_time timestamptz,
    deadline_time timestamptz NOT NULL,
    completed_time timestamptz,
    UNIQUE (thread_event_id, model_alias),
    CONSTRAINT task_runs_completed_check CHECK ((status = 'completed') = (outcome IS NOT NULL)),
    CONSTRAINT task_runs_waiting_check CHECK (status = 'waiting' OR wait_expires_time IS NULL)
);
CREATE INDEX task_runs_tenant_id_created_time_id_idx ON task_runs (tenant_id, created_time DESC, id DESC);
CREATE INDEX task_runs_thread_id_created_time_id_idx ON task_runs (thread_id, created_time DESC, id DESC);
CREATE INDEX task_runs_unfinished_by_tenant_idx ON task_runs (tenant_id, created_time DESC, id DESC)
    WHERE status <> 'completed';
CREATE INDEX task_runs_unfinished_by_thread_idx ON task_runs (thread_id, thread_seq)
    WHERE status <> 'completed';
CREATE INDEX task_runs_unfinished_by_deadline_idx ON task_runs (deadline_time)
    WHERE status <> 'completed';
CREATE INDEX task_runs_unfinished_by_answering_run_idx ON task_runs (answered_by_task_run_id)
    WHERE status <> 'completed';

CREATE TABLE task_events (
    task_run_id uuid NOT NULL REFERENCES task_runs (id),
    seq bigint NOT NULL,
    tenant_id uuid NOT NULL,
    event_type text NOT NULL,
    metadata jsonb NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_run_id, seq)
);

CREATE TABLE spend_reservations (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    task_run_id uuid NOT NULL REFERENCES task_runs (id),
    model_alias text NOT NULL,
    reserved_usd_micros bigint NOT NULL CHECK (reserved_usd_micros >= 0),
    spent_usd_micros bigint,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'settled', 'abandoned')),
    fence bigint NOT NULL,
    created_time timestamptz NOT NULL DEFAULT now(),
    settled_time timestamptz,
    CONSTRAINT spend_reservations_settled_check CHECK ((status = 'open') = (spent_usd_micros IS NULL))
);
CREATE INDEX spend_reservations_task_run_id_idx ON spend_reservations (task_run_id);

CREATE TABLE transcript_turns (
    task_run_id uuid NOT NULL REFERENCES task_runs (id),
    position integer NOT NULL,
    tenant_id uuid NOT NULL,
    role text NOT NULL CHECK (role IN ('user', 'assistant', 'tool')),
    message jsonb NOT NULL,
    thread_event_id uuid,
    model_alias text NOT NULL DEFAULT '',
    model_label text NOT NULL DEFAULT '',
    tokens_input bigint NOT NULL DEFAULT 0,
    tokens_output bigint NOT NULL DEFAULT 0,
    tokens_cache_read bigint NOT NULL DEFAULT 0,
    tokens_cache_write bigint NOT NULL DEFAULT 0,
    cost_usd_micros bigint NOT NULL DEFAULT 0,
    spend_reservation_id uuid UNIQUE REFERENCES spend_reservations (id),
    created_time timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (task_run_id, position),
    UNIQUE (task_run_id, thread_event_id)
);

CREATE TABLE tool_calls (
    task_run_id uuid NOT NULL REFERENCES task_runs (id),
    call_id text NOT NULL,
    tenant_id uuid NOT NULL,
    position integer NOT NULL,
    tool_name text NOT NULL,
    arguments text NOT NULL,
    status text NOT NULL DEFAULT 'begun' CHECK (status IN ('begun', 'finished')),
    result_text text,
    failed boolean NOT NULL DEFAULT false,
    reason text NOT NULL DEFAULT '',
    duration_ms bigint,
    fence bigint NOT NULL,
    begun_time timestamptz NOT NULL DEFAULT now(),
    finished_time timestamptz,
    PRIMARY KEY (task_run_id, call_id)
);

CREATE TABLE thread_posts (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    task_run_id uuid NOT NULL REFERENCES task_runs (id),
    kind text NOT NULL CHECK (kind IN ('answer', 'notice_failed', 'notice_cancelled')),
    part integer NOT NULL,
    text text NOT NULL,
    external_id text NOT NULL DEFAULT '',
    url text NOT NULL DEFAULT '',
    created_time timestamptz NOT NULL DEFAULT now(),
    posted_time timestamptz,
    UNIQUE (task_run_id, kind, part)
);
"""

# webhook_deliveries has no foreign key to tenants: each webhook would then lock its tenant's one row.
INBOX = """
CREATE TABLE webhook_deliveries (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    source text NOT NULL,
    external_id text NOT NULL,
    order_key text NOT NULL,
    position bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    headers jsonb NOT NULL,
    body bytea NOT NULL,
    status text NOT NULL DEFAULT 'pending'
        CHECK (status IN ('pending', 'leased', 'done', 'ignored', 'dead')),
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_time timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    lease_owner uuid,
    outcome_reason text NOT NULL DEFAULT '',
    thread_event_id uuid,
    received_time timestamptz NOT NULL DEFAULT now(),
    finished_time timestamptz,
    UNIQUE (tenant_id, source, external_id)
);
CREATE INDEX webhook_deliveries_live_idx ON webhook_deliveries (next_attempt_time, position)
    WHERE status IN ('pending', 'leased');
CREATE INDEX webhook_deliveries_live_by_order_idx ON webhook_deliveries (tenant_id, order_key, position)
    WHERE status IN ('pending', 'leased');
CREATE INDEX webhook_deliveries_tenant_id_position_idx ON webhook_deliveries (tenant_id, position DESC);

CREATE TABLE threads (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    source text NOT NULL,
    thread_key text NOT NULL,
    workflow_id text NOT NULL UNIQUE,
    address jsonb NOT NULL,
    agent_slug text NOT NULL,
    next_seq bigint NOT NULL DEFAULT 1,
    created_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, source, thread_key)
);

CREATE TABLE thread_events (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL,
    thread_id uuid NOT NULL REFERENCES threads (id),
    seq bigint NOT NULL,
    source text NOT NULL,
    event_key text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('message', 'stop')),
    agent_slug text NOT NULL,
    author jsonb NOT NULL,
    text text NOT NULL,
    description text NOT NULL,
    address jsonb NOT NULL,
    operation text NOT NULL,
    model_aliases jsonb NOT NULL,
    repository_id uuid,
    source_url text NOT NULL,
    requester text NOT NULL,
    delivery_id uuid NOT NULL,
    stop_task_run_id uuid,
    dispatched_time timestamptz,
    finished_time timestamptz,
    created_time timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, source, event_key),
    UNIQUE (thread_id, seq)
);
CREATE INDEX thread_events_unfinished_by_thread_idx ON thread_events (thread_id, seq)
    WHERE finished_time IS NULL;
CREATE INDEX thread_events_unfinished_by_time_idx ON thread_events (created_time)
    WHERE finished_time IS NULL;
"""

TENANT_COLUMNS = {
    "tenants": "id",
    "principals": "tenant_id",
    "agents": "tenant_id",
    "personalities": "tenant_id",
    "agent_personalities": "tenant_id",
    "repositories": "tenant_id",
    "source_containers": "tenant_id",
    "task_runs": "tenant_id",
    "task_events": "tenant_id",
    "spend_reservations": "tenant_id",
    "transcript_turns": "tenant_id",
    "tool_calls": "tenant_id",
    "thread_posts": "tenant_id",
    "webhook_deliveries": "tenant_id",
    "threads": "tenant_id",
    "thread_events": "tenant_id",
}

# What is on record is never deleted by a service, and who may call is not a service's to change.
SERVICE_GRANTS = """
GRANT SELECT ON tenants, principals, agents, personalities, agent_personalities TO astra_service;
GRANT SELECT, INSERT, UPDATE ON repositories TO astra_service;
GRANT SELECT, INSERT, UPDATE, DELETE ON source_containers TO astra_service;
GRANT SELECT, INSERT, UPDATE ON
    task_runs, spend_reservations, tool_calls, thread_posts, webhook_deliveries, threads, thread_events
    TO astra_service;
GRANT SELECT, INSERT ON task_events, transcript_turns TO astra_service;
"""

# The relay looks past tenants, so it gets the columns it finds work by, and no content.
RELAY_GRANTS = """
GRANT SELECT (id, slug) ON tenants TO astra_relay;
GRANT SELECT (id, tenant_id, name, scopes, token_sha256) ON principals TO astra_relay;
GRANT SELECT (id, tenant_id, source, external_id, order_key, position, status, attempts, next_attempt_time,
              leased_until, lease_owner, outcome_reason, received_time, finished_time),
      UPDATE (status, attempts, next_attempt_time, leased_until, lease_owner, outcome_reason, finished_time)
    ON webhook_deliveries TO astra_relay;
GRANT SELECT (id, tenant_id, workflow_id) ON threads TO astra_relay;
GRANT SELECT (thread_id, tenant_id, finished_time, created_time) ON thread_events TO astra_relay;
GRANT SELECT (id, tenant_id, status, deadline_time, thread_id, stop_requested_time)
    ON task_runs TO astra_relay;
"""

OPERATOR_GRANTS = "GRANT SELECT ON ALL TABLES IN SCHEMA public TO astra_operator;"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute(REGISTRY)
    op.execute(RUNS)
    op.execute(INBOX)
    for table, column in TENANT_COLUMNS.items():
        op.execute(
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;"
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY;"
            f"CREATE POLICY tenant ON {table}"
            f" USING ({column} = NULLIF(current_setting('app.tenant_id', true), '')::uuid)"
            f" WITH CHECK ({column} = NULLIF(current_setting('app.tenant_id', true), '')::uuid);"
        )
    op.execute("GRANT USAGE ON SCHEMA public TO astra_service, astra_relay, astra_operator;")
    op.execute(SERVICE_GRANTS)
    op.execute(RELAY_GRANTS)
    op.execute(OPERATOR_GRANTS)


def downgrade() -> None:
    op.execute(f"DROP TABLE {', '.join(reversed(TENANT_COLUMNS))} CASCADE;")
