"""Enqueue a build with an asynchronous session of SQLAlchemy.

Usage: sqlalchemy_async.py WORKSPACE_ID [--roll-back]; DATABASE_URL names the database.
"""

import asyncio
import os
import sys

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

ENQUEUE = text(
    "SELECT job_id, queue FROM provisionerd.enqueue_build(CAST(:workspace_id AS uuid), 'start')"
)


async def main() -> None:
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
    engine = create_async_engine(url)
    async with AsyncSession(engine) as session:
        await session.execute(text("INSERT INTO orders (what) VALUES ('a workspace')"))
        row = (await session.execute(ENQUEUE, {"workspace_id": sys.argv[1]})).one()
        print(*row)
        if "--roll-back" in sys.argv:
            await session.rollback()
        else:
            await session.commit()
    await engine.dispose()


asyncio.run(main())
