"""A chat with a page that documents it: `uvicorn tests.support.documented:app`."""

from typing import Annotated, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, Field, StringConstraints

from consumers import AsyncWebsocketConsumer
from consumers.typed import TypedConsumer, asyncapi_routes, on

HOSTILE = "<img src=x onerror=\"document.title='run'\">"


class Attachment(BaseModel):
    """A file that is somewhere else."""

    name: str
    size: Annotated[int, Field(ge=0, description="In bytes.")]


class Say(BaseModel):
    """Something to say to all in the room."""

    type: Literal["say"] = "say"
    text: Annotated[str, StringConstraints(min_length=1, max_length=1000)] = Field(examples=["Hello, world!"])
    mood: Literal["happy", "sad"] = "happy"
    attachment: Attachment | None = None


class Leave(BaseModel):
    """The end, with a last word perhaps: “Bye”, say."""

    type: Literal["leave"] = "leave"
    word: str = Field("", description="What the close frame says.")


class Said(BaseModel):
    """Somebody in the room has said something."""

    type: Literal["said"] = "said"
    user: str
    text: str
    number: int


class Chat(TypedConsumer):
    """A room, in which all hear what one of them says."""

    sends = Said

    async def connect(
        self,
        room: Annotated[str, Field(description="The room's name.")],
        user: Annotated[str, Query(description="What the others call you.")] = "somebody",
        color: Literal["red", "green"] = "red",
    ) -> None:
        self.user = f"{user} in {room}"
        await self.accept(self.scope["subprotocols"][0] if self.scope["subprotocols"] else None)

    @on
    async def say(self, message: Say) -> Said:
        """Tell all in the room, the speaker included."""
        return Said(user=self.user, text=message.text, number=9007199254740993)

    @on
    async def leave(self, message: Leave) -> None:
        """Close the connection."""
        await self.close(4000, message.word)


class Echo(AsyncWebsocketConsumer):
    """Sends back what it gets. <b>Its messages are of any kind.</b>"""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


app = FastAPI(title="Chat", version="1.2", description=f"Rooms to talk in. {HOSTILE}")
app.routes.extend(asyncapi_routes(app))
app.add_api_websocket_route("/chat/{room}", Chat.as_endpoint())
app.add_api_websocket_route("/echo/{kind}", Echo.as_endpoint())
