"""Enqueue a build with asyncpg.

Usage: asyncpg_pool.py WORKSPACE_ID [--roll-back]; DATABASE_URL names the database.
"""

import asyncio
import os
import sys

import asyncpg

ENQUEUE = "SELECT job_id, queue FROM provisionerd.enqueue_build($1::uuid, 'start')"


async def main() -> None:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=2) as pool:
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute("INSERT INTO orders (what) VALUES ('a workspace')")
            row = await connection.fetchrow(ENQUEUE, sys.argv[1])
            print(row["job_id"], row["queue"])
            if "--roll-back" in sys.argv:
                await transaction.rollback()
            else:
                await transaction.commit()


asyncio.run(main())
