"""Django Channels' consumer API on Starlette."""

from .consumer import AsyncConsumer as AsyncConsumer
from .consumer import SyncConsumer as SyncConsumer
from .endpoint import BaseWSEndpoint as BaseWSEndpoint
from .exceptions import AcceptConnection as AcceptConnection
from .exceptions import ChannelFull as ChannelFull
from .exceptions import DenyConnection as DenyConnection
from .exceptions import InvalidChannelLayerError as InvalidChannelLayerError
from .exceptions import InvalidFrame as InvalidFrame
from .exceptions import MessageTooLarge as MessageTooLarge
from .exceptions import RequestAborted as RequestAborted
from .exceptions import RequestTimeout as RequestTimeout
from .exceptions import StopConsumer as StopConsumer
from .http import AsyncHttpConsumer as AsyncHttpConsumer
from .layers.base import BaseChannelLayer as BaseChannelLayer
from .layers.memory import InMemoryChannelLayer as InMemoryChannelLayer
from .layers.registry import channel_layers as channel_layers
from .layers.registry import get_channel_layer as get_channel_layer
from .layers.registry import lifespan as lifespan
from .websocket import AsyncJsonWebsocketConsumer as AsyncJsonWebsocketConsumer
from .websocket import AsyncWebsocketConsumer as AsyncWebsocketConsumer
from .websocket import JsonWebsocketConsumer as JsonWebsocketConsumer
from .websocket import WebsocketConsumer as WebsocketConsumer

__all__ = [
    "AcceptConnection",
    "AsyncConsumer",
    "AsyncHttpConsumer",
    "AsyncJsonWebsocketConsumer",
    "AsyncWebsocketConsumer",
    "BaseChannelLayer",
    "BaseWSEndpoint",
    "ChannelFull",
    "DenyConnection",
    "InMemoryChannelLayer",
    "InvalidChannelLayerError",
    "InvalidFrame",
    "JsonWebsocketConsumer",
    "MessageTooLarge",
    "RequestAborted",
    "RequestTimeout",
    "StopConsumer",
    "SyncConsumer",
    "WebsocketConsumer",
    "channel_layers",
    "get_channel_layer",
    "lifespan",
]
