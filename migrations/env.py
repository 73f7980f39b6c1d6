"""Where Alembic meets the record: runs migrations on the connection it is handed.

`services/astra/migrate.py` hands it one. The metadata comes along when there is something to compare
(`alembic check`, autogenerate); an upgrade needs none, so no service's tables are imported here.
"""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=context.config.attributes.get("metadata"),
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
