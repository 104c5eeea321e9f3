"""Enqueue a build with psycopg.

Usage: psycopg_alone.py WORKSPACE_ID [--roll-back]; DATABASE_URL names the database.
"""

import os
import sys

import psycopg

ENQUEUE = "SELECT job_id, queue FROM provisionerd.enqueue_build(%s::uuid, 'start')"

with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
    connection.execute("INSERT INTO orders (what) VALUES ('a workspace')")  # a row of your own
    row = connection.execute(ENQUEUE, [sys.argv[1]]).fetchone()
    assert row is not None
    print(*row)
    if "--roll-back" in sys.argv:
        connection.rollback()
# The block has committed: order, job and build exist, or none of them.
