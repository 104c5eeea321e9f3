"""Queries: a module for each table in FROM, and the contract. Nothing here changes a row.

Every function runs in the caller's transaction. A comment above the SQL names the index that makes
the query cheap, and ``tests/integration/test_query_plans.py`` checks that it is used.
"""
