"""Who somebody is, and what they may do."""

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

import jwt
from fastapi import Depends, Header, HTTPException
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from consumers.typed import token

from .database import Database, Member, User

SECRET = os.environ["SECRET"]
LIFETIME = timedelta(minutes=15)


@dataclass
class Login:
    user: str
    version: int
    expires_at: datetime


def hash_password(password: str, salt: str = "") -> str:
    salt = salt or secrets.token_hex(16)
    return f"{salt}.{hashlib.scrypt(password.encode(), salt=salt.encode(), n=2**14, r=8, p=1).hex()}"


def is_password(password: str, hashed: str) -> bool:
    return hmac.compare_digest(hash_password(password, salt=hashed.partition(".")[0]), hashed)


def make_token(user: str, version: int, lifetime: timedelta = LIFETIME) -> str:
    return jwt.encode({"sub": user, "version": version, "exp": datetime.now(UTC) + lifetime}, SECRET, "HS256")


async def read_token(text: str, database: AsyncSession) -> Login | None:
    try:
        claims = jwt.decode(text, SECRET, ["HS256"], options={"require": ["sub", "exp"]})
    except jwt.InvalidTokenError:
        return None
    async with database.begin():
        version = await database.scalar(select(User.version).where(User.name == claims["sub"]))
    if version is None or version != claims["version"]:
        return None
    return Login(claims["sub"], version, datetime.fromtimestamp(claims["exp"], UTC))


OfSocket = Annotated[str | None, Depends(token)]


async def get_login(database: Database, of_socket: OfSocket, authorization: Annotated[str, Header()] = "") -> Login:
    login = await read_token(of_socket or authorization.removeprefix("Bearer "), database)
    if login is None:
        raise HTTPException(401, "Log in first", {"WWW-Authenticate": "Bearer"})
    return login


CurrentLogin = Annotated[Login, Depends(get_login)]


async def require_member(room: str, login: Login, database: AsyncSession) -> None:
    query = select(Member).join(User).where(Member.room == room, User.name == login.user, User.version == login.version)
    async with database.begin():
        if await database.scalar(query) is None:
            raise HTTPException(403, "This room is for its members")
