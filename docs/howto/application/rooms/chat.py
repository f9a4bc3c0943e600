"""The WebSocket of a room."""

from consumers.typed import TypedConsumer, on
from consumers.types import PresenceDiff, PresenceState

from . import groups
from .auth import CurrentLogin, read_token, require_member
from .database import Database
from .models import Moved, Notice, People, Refresh, Refused, Said, Say


class Chat(TypedConsumer):
    sends = Said | People | Moved | Notice | Refused

    async def connect(self, room: str, login: CurrentLogin, database: Database) -> None:
        await self.group_join(groups.of_user(login.user))  # before the check, so that no log-out is missed
        await require_member(room, login, database)
        self.login, self.database, self.room = login, database, groups.of_room(room)
        self.expires_at = login.expires_at
        await self.accept()
        await self.join(self.room, "room", last=50)
        await self.group_track(self.room, key=login.user)
        there = await self.channel_layer.presence(self.room)
        await self.send_message(People(names=sorted(there), version=there.version))

    @on(rate_limit=5)
    async def say(self, message: Say) -> None:
        await self.group_send_message(self.room, Said(user=self.login.user, text=message.text))

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
