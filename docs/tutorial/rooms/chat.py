"""The WebSocket of a room."""

from typing import Any

from consumers.typed import TypedConsumer, on, on_event
from consumers.types import PresenceDiff, PresenceState

from . import groups
from .auth import CurrentLogin, read_token, require_member
from .database import Database
from .models import Entered, Moved, Notice, People, Refresh, Refused, Said, Say


class Chat(TypedConsumer):
    sends = Entered | Said | People | Moved | Notice | Refused

    async def connect(self, room: str, login: CurrentLogin, database: Database, since: str | None = None) -> None:
        await self.group_join(groups.of_user(login.user))  # before the check, so that no log-out is missed
        await require_member(room, login, database)
        self.login, self.database, self.room = login, database, groups.of_room(room)
        self.expires_at = login.expires_at
        await self.accept()
        joined = await self.group_join(self.room, since=since, last=50)
        position = None if joined.missed else joined.position  # else the messages bring theirs
        await self.send_message(Entered(recovered=joined.recovered, position=position))
        await self.group_track(self.room, key=login.user)
        there = await self.channel_layer.presence(self.room)
        await self.send_message(People(names=sorted(there), version=there.version))

    @on(rate_limit=5)
    async def say(self, message: Say) -> None:
        await self.group_send_message(self.room, Said(user=self.login.user, text=message.text))

    @on_event
    async def said(self, message: Said, event: dict[str, Any]) -> None:
        message.position = event["history"]["position"]
        await self.send_message(message)

    @on
    async def refresh(self, message: Refresh) -> Refused | None:
        login = await read_token(message.token, self.database)
        if login is None or login.user != self.login.user:
            return Refused(reason="This is no token of yours")
        self.expires_at = login.expires_at
        return None

    async def presence_diff(self, event: PresenceDiff) -> None:
        moved = Moved(came=sorted(event["joins"]), left=sorted(event["leaves"]), version=event["version"])
        await self.send_message(moved)

    async def presence_state(self, event: PresenceState) -> None:
        await self.send_message(People(names=sorted(event["members"]), version=event["version"]))

    async def layer_gap(self, event: dict[str, Any]) -> None:
        if event["group"] == self.room:
            await self.close(1012, "Come back")
