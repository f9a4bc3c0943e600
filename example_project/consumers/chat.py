"""A chat in rooms: what people say, which is kept, who is here, who comes and goes, and who is typing."""

import re
from contextlib import suppress
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from consumers import AsyncJsonWebsocketConsumer, ChannelFull, StopConsumer

ID = re.compile(r"[0-9a-f]{32}")
ROOM_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")
BAD_ROOM_NAME = 4004  # close code; 4000 to 4999 belong to the application (RFC 6455, 7.4.2)
MAX_NAME = 30  # characters
MAX_TEXT = 1000  # characters
LAST = 50  # messages that a newcomer sees
JOINERS = dict.fromkeys((0x200C, 0x200D))  # invisible, but part of Persian names and of many emoji

Person = dict[str, str]


class ChatConsumer(AsyncJsonWebsocketConsumer):
    """One person in one room, served at `/ws/chat/{room}`.

    From the client: `{"type": "join", "name": …, "since": …}` once, then `{"type": "say", "text": …, "id": …}`, and
    `{"type": "typing"}` while something is being written. A client that does not see its message come back says it
    again, with the same `id`: the room sees it once.
    To the client: `welcome` with who you are, then `here`, `joined`, `left`, `typing` and `message` with the person
    they are about, `gap` if messages may be missing, and `error` with a `text` to show.

    The room's group keeps its messages: see `history` in `app.py`. A newcomer gets the newest. A client that comes back
    says in `since` which position it got last, and gets all that came after. One handler, `chat_message()`, shows what
    was missed and what is new. If something is kept no longer, the client is told so: by `"recovered": false` in its
    `welcome`, or by `gap`.

    Nobody keeps a list of who is in a room. A newcomer is announced to the room's group, and everyone in it
    answers for themselves. `disconnect()` tells the group who has left. So each client builds its list by itself,
    with one server process and with many. These announcements are not kept. A client that misses one, because it reads
    too slowly or Redis was away, has a wrong list until it joins anew.

    A process that is killed (`kill -9`, no memory, no power) runs no `disconnect()`. Its people stay in the lists of
    those who were in the room, until these join anew. A chat that must show nobody who has gone needs a list outside
    of the processes, whose entries expire.
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
                await self.join(name, content.get("since"))
            case {"type": "say", "text": str(text)}:
                await self.say(text, content.get("id"))
            case {"type": "typing"} if self.me is not None:
                await self.show_room({"type": "typing", "person": self.me}, exclude=self.channel_name)
            case _:
                await self.refuse('Send {"type": "join", "name": …} or {"type": "say", "text": …}.')

    async def disconnect(self, code: int) -> None:
        if self.me is not None:
            await self.channel_layer.group_discard(self.room_group, self.channel_name)
            await self.show_room({"type": "left", "person": self.me})

    async def join(self, name: str, since: str | None) -> None:
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
            joined = await self.channel_layer.group_add(self.room_group, self.channel_name, since=since, last=LAST)
            self.me = {"id": token_hex(8), "name": name}
            # The client gets this before the messages that it has missed.
            await self.send_json({"type": "welcome", "person": self.me, **joined._asdict()})
            announcement = {"type": "chat.joined", "person": self.me, "answer_to": self.channel_name}
            await self.channel_layer.group_send(self.room_group, announcement, keep=False)

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
            id = id if isinstance(id, str) and ID.fullmatch(id) else token_hex(16)
            message = {"type": "chat.message", "person": self.me, "text": text, "sent": sent, "id": id}
            await self.channel_layer.group_send(self.room_group, message, id=id)

    async def show_room(self, content: dict[str, Any], exclude: str | tuple[()] = ()) -> None:
        """Show content to the clients in the room now. Its layer type is ours, never one that a client chose."""
        event = {"type": "chat.show", "content": content}
        await self.channel_layer.group_send(self.room_group, event, keep=False, exclude=exclude)

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

    async def chat_show(self, event: dict[str, Any]) -> None:
        """Handle `chat.show`: something to pass on to this client."""
        await self.send_json(event["content"])

    async def chat_joined(self, event: dict[str, Any]) -> None:
        """Handle `chat.joined`: show the newcomer to this client, and this client to the newcomer."""
        await self.send_json({"type": "joined", "person": event["person"]})
        if event["answer_to"] != self.channel_name:
            answer = {"type": "chat.show", "content": {"type": "here", "person": self.me}}
            with suppress(ChannelFull):  # who reads too slowly has a shorter list
                await self.channel_layer.send(event["answer_to"], answer)
