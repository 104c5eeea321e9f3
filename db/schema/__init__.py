"""Enums, tables, migrations, and the check that a database is migrated; no other queries."""
