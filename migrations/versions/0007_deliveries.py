"""Deliveries handled again by hand and forgotten after their time; refusals counted by the day.

Revision ID: 0007
Revises: 0006
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    op.execute("""
        ALTER TABLE webhook_deliveries ADD redelivered_by text NOT NULL DEFAULT '';
        ALTER TABLE webhook_deliveries ADD redelivered_time timestamptz;
        CREATE INDEX webhook_deliveries_over_idx ON webhook_deliveries (finished_time)
            WHERE status IN ('done', 'ignored');
        CREATE INDEX webhook_deliveries_dead_idx ON webhook_deliveries (finished_time) WHERE status = 'dead';
        CREATE INDEX thread_events_undispatched_by_delivery_idx ON thread_events (delivery_id)
            WHERE dispatched_time IS NULL;
        GRANT DELETE ON webhook_deliveries TO astra_relay;
    """)
    # Whose a refused delivery was is not known, so this table belongs to no tenant.
    op.execute("""
        CREATE TABLE delivery_refusals (
            day date NOT NULL,
            source text NOT NULL,
            reason text NOT NULL,
            refused_count bigint NOT NULL,
            last_refused_time timestamptz NOT NULL,
            PRIMARY KEY (day, source, reason)
        );
        GRANT SELECT, INSERT, UPDATE ON delivery_refusals TO astra_service;
        GRANT SELECT, DELETE ON delivery_refusals TO astra_relay;
        GRANT SELECT ON delivery_refusals TO astra_operator;
    """)


def downgrade() -> None:
    op.execute("""
        DROP TABLE delivery_refusals;
        REVOKE DELETE ON webhook_deliveries FROM astra_relay;
        DROP INDEX thread_events_undispatched_by_delivery_idx;
        DROP INDEX webhook_deliveries_dead_idx;
        DROP INDEX webhook_deliveries_over_idx;
        ALTER TABLE webhook_deliveries DROP redelivered_time;
        ALTER TABLE webhook_deliveries DROP redelivered_by;
    """)
