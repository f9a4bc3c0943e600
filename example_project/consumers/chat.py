"""A chat in rooms: what people say, which is kept, who is here, who comes and goes, and who is typing."""

import re
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from consumers import AsyncJsonWebsocketConsumer, StopConsumer

ID = re.compile(r"[0-9a-f]{32}")
ROOM_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
BAD_ROOM_NAME = 4004  # close code; 4000 to 4999 belong to the application (RFC 6455, 7.4.2)
MAX_NAME = 30  # characters
MAX_TEXT = 1000  # characters
LAST = 50  # messages that a newcomer sees
JOINERS = dict.fromkeys((0x200C, 0x200D))  # invisible, but part of Persian names and of many emoji

Person = dict[str, str]


class ChatConsumer(AsyncJsonWebsocketConsumer):
    """One tab in one room, served at `/ws/chat/{room}`.

    From the client: `{"type": "join", "name": …, "id": …, "since": …}` once, then
    `{"type": "say", "text": …, "id": …}`, and `{"type": "typing"}` while something is being written. A client that does
    not see its message come back says it again, with the same `id`: the room sees it once.
    To the client: `welcome` with who you are and who is here, then `people` with who is here or what has changed,
    `typing` and `message` with the person they are about, `gap` if messages may be missing, and `error` with a `text`
    to show.

    A person has an `id`, which the client keeps and sends when it joins. A client without one gets one in its
    `welcome`. All tabs with this id are one person. The id shows who is who, and proves nothing. With a login, take the
    user's id.

    The layer knows who is in a room: see `group_track()`. A person is there as long as one tab is, and a few seconds
    more: who reloads the page has not left. Every tab hears of changes, in other processes too. If a process is killed,
    the others notice, and its people leave. Each list and each change has a `version`. The client ignores what is older
    than what it knows.

    The room's group keeps its messages: see `history` in `app.py`. A newcomer gets the newest. A client that comes back
    says in `since` which position it got last, and gets all that came after. One handler, `chat_message()`, shows what
    was missed and what is new. If something is kept no longer, the client is told so: by `"recovered": false` in its
    `welcome`, or by `gap`.
    """

    me: Person | None = None

    async def connect(self) -> None:
        room = self.path_params["room"]
        await self.accept()  # first: a page sees the code of a close, but not of a rejection
        if not ROOM_NAME.fullmatch(room):
            await self.close(BAD_ROOM_NAME, "A room name is 1 to 40 letters (a-z, A-Z), digits, - or _.")
            raise StopConsumer
        self.room_group = f"chat.{room}"

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        match content:
            case {"type": "join", "name": str(name)}:
                await self.join(name, content.get("id"), content.get("since"))
            case {"type": "say", "text": str(text)}:
                await self.say(text, content.get("id"))
            case {"type": "typing"} if self.me is not None:
                event = {"type": "chat.typing", "person": self.me}
                await self.group_send(self.room_group, event, keep=False, exclude=self.channel_name)
            case _:
                await self.refuse('Send {"type": "join", "name": …} or {"type": "say", "text": …}.')

    async def join(self, name: str, id: object, since: str | None) -> None:
        """Enter the room under a name of 1 to 30 visible characters, and get what came since a position."""
        name = " ".join(name.split())
        if self.me is not None:
            await self.refuse("You have joined already.")
        elif not name.translate(JOINERS):
            await self.refuse("Choose a name first.")
        elif len(name) > MAX_NAME:
            await self.refuse(f"That name has {len(name)} characters; {MAX_NAME} is the limit.")
        elif not name.translate(JOINERS).isprintable():
            await self.refuse("That name has invisible characters in it. Please use letters you can see.")
        else:
            self.me = {"id": valid_id(id), "name": name}
            joined = await self.group_join(self.room_group, since=since, last=LAST)
            await self.group_track(self.room_group, key=self.me["id"], meta={"name": name})
            here = await self.channel_layer.presence(self.room_group)
            people = {"all": here, "version": here.version}
            # The client gets this before the messages that it has missed.
            await self.send_json({"type": "welcome", "person": self.me, "people": people, **joined._asdict()})

    async def say(self, text: str, id: object) -> None:
        """Show a message of 1 to 1000 characters to everyone in the room, its sender included."""
        text = text.encode(errors="replace").decode().strip()  # half a surrogate pair is JSON, but not UTF-8
        if self.me is None:
            await self.refuse("Join before you say something.")
        elif not text:
            await self.refuse("That message is empty.")
        elif len(text) > MAX_TEXT:
            await self.refuse(f"That message has {len(text)} characters; {MAX_TEXT} is the limit.")
        else:
            sent = datetime.now(UTC).isoformat(timespec="seconds")
            id = valid_id(id)
            message = {"type": "chat.message", "person": self.me, "text": text, "sent": sent, "id": id}
            await self.group_send(self.room_group, message, id=id)

    async def refuse(self, text: str) -> None:
        """Tell this client, and nobody else, what was wrong."""
        await self.send_json({"type": "error", "text": text})

    async def chat_message(self, event: dict[str, Any]) -> None:
        """Handle `chat.message`: something was said, just now or while this client was away."""
        message = {key: event.get(key) for key in ("person", "text", "sent", "id")}
        await self.send_json({"type": "message", "position": event["history"]["position"], **message})

    async def layer_gap(self, event: dict[str, Any]) -> None:
        """Handle `layer.gap`: messages were lost, and the page says so."""
        await self.send_json({"type": "gap"})

    async def chat_typing(self, event: dict[str, Any]) -> None:
        """Handle `chat.typing`: somebody else is writing."""
        await self.send_json({"type": "typing", "person": event["person"]})

    async def presence_diff(self, event: dict[str, Any]) -> None:
        """Handle `presence.diff`: some have joined, changed or left."""
        changed = {**event["joins"], **event["updates"]}
        await self.send_people(event, changed=changed, left=event["leaves"])

    async def presence_state(self, event: dict[str, Any]) -> None:
        """Handle `presence.state`: who is here, after a change may have been lost."""
        await self.send_people(event, all=event["members"])

    async def presence_count(self, event: dict[str, Any]) -> None:
        """Handle `presence.count`: how many are here, in a room with too many for a list."""
        await self.send_people(event, count=event["count"])

    async def send_people(self, event: dict[str, Any], **people: Any) -> None:
        """Tell this client who is here, or what has changed."""
        await self.send_json({"type": "people", "version": event["version"], **people})


def valid_id(id: object) -> str:
    """Return an id that a client has sent, or a new one if it is none."""
    return id if isinstance(id, str) and ID.fullmatch(id) else token_hex(16)
