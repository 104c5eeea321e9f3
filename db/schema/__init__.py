"""Enums, tables, migrations, and whether a database has them; no statement of a build."""
