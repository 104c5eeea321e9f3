"""The database: its tables and every statement on them, but for quota; no build runs here."""
