"""The project's consumers."""

from pathlib import Path

from channels.consumer import SyncConsumer
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from django.conf import settings

from .people.models import Person


class Greeter(WebsocketConsumer):
    """Answers a name with the number of people of that name; joins a group."""

    groups = ["greeters"]

    def receive(self, text_data):
        self.send(str(Person.objects.filter(email=text_data).count()))

    def shout(self, event):
        self.send(event["text"])


class AsyncGreeter(AsyncWebsocketConsumer):
    """The same with coroutines."""

    async def receive(self, text_data):
        await self.send(str(await database_sync_to_async(Person.objects.filter(email=text_data).count)()))


class Creator(WebsocketConsumer):
    """Creates a person for every message."""

    def receive(self, text_data):
        self.send(str(Person.objects.create(email=text_data).email))


class Visitor(AsyncWebsocketConsumer):
    """Tells who is connected."""

    async def connect(self):
        await self.accept()
        await self.send(str(self.scope["user"]))


class Chooser(WebsocketConsumer):
    """Puts something into the session before it accepts."""

    def connect(self):
        self.scope["session"]["color"] = "blue"
        self.accept()


class Setting(WebsocketConsumer):
    """Tells the value of a setting."""

    def receive(self, text_data):
        self.send(str(getattr(settings, text_data, None)))


class Marker(SyncConsumer):
    """Writes the number of people into a file."""

    def mark(self, message):
        Path(message["path"]).write_text(str(Person.objects.count()))
        print(message["path"], "is written", flush=True)
