"""The application: `python -m consumers serve rooms.main:app`."""

from pathlib import Path
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query
from fastapi.concurrency import run_in_threadpool
from sqlalchemy import update
from starlette.staticfiles import StaticFiles

from consumers import close_group, get_channel_layer, lifespan
from consumers.client import client_files
from consumers.typed import message_of

from . import groups
from .auth import CurrentLogin, is_password, make_token, require_member
from .chat import Chat
from .database import Database, User
from .models import Credentials, Messages, Said, Token

Limit = Annotated[int, Query(ge=1, le=100)]

app = FastAPI(lifespan=lifespan)
app.add_api_websocket_route("/rooms/{room}", Chat.as_endpoint())
app.mount("/consumers", client_files())
app.mount("/chat", StaticFiles(directory=Path(__file__).parent / "page", html=True))


@app.post("/login")
async def log_in(credentials: Credentials, database: Database) -> Token:
    async with database.begin():
        user = await database.get(User, credentials.name)
    if user is None or not await run_in_threadpool(is_password, credentials.password, user.password):
        raise HTTPException(401, "There is no such user, or the password is wrong")
    return Token(token=make_token(user.name, user.version))


@app.post("/refresh")
async def refresh(login: CurrentLogin) -> Token:
    return Token(token=make_token(login.user, login.version))


@app.post("/logout", status_code=204)
async def log_out(login: CurrentLogin, database: Database) -> None:
    async with database.begin():
        await database.execute(update(User).where(User.name == login.user).values(version=User.version + 1))
    await close_group(groups.of_user(login.user), 4403, "You have logged out")


@app.get("/rooms/{room}/messages")
async def read_messages(
    room: str, login: CurrentLogin, database: Database, since: str | None = None, limit: Limit = 50
) -> Messages:
    await require_member(room, login, database)
    page = await get_channel_layer().history(groups.of_room(room), since=since, limit=limit)
    said = [message for event in page.messages if (message := message_of(event, Said))]
    return Messages(messages=said, position=page.position, recovered=page.recovered)
