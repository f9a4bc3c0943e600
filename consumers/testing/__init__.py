"""Drive an ASGI application from a test, message by message; test a channel layer. On asyncio and on trio."""

from .application import ApplicationCommunicator as ApplicationCommunicator
from .contract import LayerContract as LayerContract
from .http import HttpCommunicator as HttpCommunicator
from .websocket import WebsocketCommunicator as WebsocketCommunicator

__all__ = ["ApplicationCommunicator", "HttpCommunicator", "LayerContract", "WebsocketCommunicator"]
