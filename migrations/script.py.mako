"""${message}.

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}

Works with the release before this one too: add, fill, switch, drop. Each new table with a tenant_id gets
row-level security, forced, and its grants, here.
"""

from alembic import op
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    # A migration that waits for a lock makes every query after it wait too.
    op.execute("SET LOCAL lock_timeout = '5s'; SET LOCAL statement_timeout = '60s';")
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
