"""Alembic's entry: on the connection that ``intraday.database.schema`` hands over, in its transaction, or as a script."""

from alembic import context

if context.is_offline_mode():
    context.configure(dialect_name="postgresql", transaction_per_migration=False)
else:
    context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
