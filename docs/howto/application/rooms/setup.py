"""Make the tables, with some people in them: `python -m rooms.setup`."""

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from .auth import hash_password
from .database import Base, Member, User, engine

MEMBERS = {"cats": ["ann", "bob"], "dogs": ["eve"]}


async def set_up(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session, session.begin():
        for room, users in MEMBERS.items():
            for name in users:
                await session.merge(User(name=name, password=hash_password(f"secret of {name}")))
                await session.merge(Member(room=room, user=name))


if __name__ == "__main__":
    asyncio.run(set_up(engine))
