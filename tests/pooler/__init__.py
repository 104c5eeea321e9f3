"""Every trouble of PostgreSQL and of PgBouncer, on every way to PostgreSQL, in every stage.

`make pooler` runs this; it needs Debian's package `pgbouncer`, and root for a full disk.
"""
