"""Drive an ASGI application from a test, message by message, on asyncio and on trio."""

from .application import ApplicationCommunicator as ApplicationCommunicator
from .http import HttpCommunicator as HttpCommunicator
from .websocket import WebsocketCommunicator as WebsocketCommunicator
