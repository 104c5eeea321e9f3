"""Reading rows: a module for each table in FROM, and the contract; nothing here changes a row.

Every function runs in the caller's transaction. The index that makes a query cheap is named
above its SQL, and ``tests/integration/test_query_plans.py`` checks that it is used.
"""
