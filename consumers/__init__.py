"""Django Channels' consumer API on Starlette."""

from . import _misrouted
from .consumer import AsyncConsumer as AsyncConsumer
from .consumer import SyncConsumer as SyncConsumer
from .endpoint import BaseWSEndpoint as BaseWSEndpoint
from .exceptions import AcceptConnection as AcceptConnection
from .exceptions import ChannelFull as ChannelFull
from .exceptions import DenyConnection as DenyConnection
from .exceptions import InvalidChannelLayerError as InvalidChannelLayerError
from .exceptions import InvalidFrame as InvalidFrame
from .exceptions import MessageTooLarge as MessageTooLarge
from .exceptions import PresenceFull as PresenceFull
from .exceptions import RequestAborted as RequestAborted
from .exceptions import RequestTimeout as RequestTimeout
from .exceptions import StopConsumer as StopConsumer
from .exceptions import TooManyGroups as TooManyGroups
from .http import AsyncHttpConsumer as AsyncHttpConsumer
from .layers._closing import close_group as close_group
from .layers._history import Joined as Joined
from .layers._history import Page as Page
from .layers.base import BaseChannelLayer as BaseChannelLayer
from .layers.memory import InMemoryChannelLayer as InMemoryChannelLayer
from .layers.registry import channel_layers as channel_layers
from .layers.registry import get_channel_layer as get_channel_layer
from .layers.registry import lifespan as lifespan
from .origin import AllowedHostsOriginValidator as AllowedHostsOriginValidator
from .origin import OriginValidator as OriginValidator
from .patterns import path as path
from .patterns import re_path as re_path
from .patterns import register_converter as register_converter
from .relays import relay as relay
from .relays import relay_json as relay_json
from .routing import ChannelNameRouter as ChannelNameRouter
from .routing import ProtocolTypeRouter as ProtocolTypeRouter
from .routing import URLRouter as URLRouter
from .websocket import AsyncJsonWebsocketConsumer as AsyncJsonWebsocketConsumer
from .websocket import AsyncWebsocketConsumer as AsyncWebsocketConsumer
from .websocket import JsonWebsocketConsumer as JsonWebsocketConsumer
from .websocket import WebsocketConsumer as WebsocketConsumer

__all__ = [
    "AcceptConnection",
    "AllowedHostsOriginValidator",
    "AsyncConsumer",
    "AsyncHttpConsumer",
    "AsyncJsonWebsocketConsumer",
    "AsyncWebsocketConsumer",
    "BaseChannelLayer",
    "BaseWSEndpoint",
    "ChannelFull",
    "ChannelNameRouter",
    "DenyConnection",
    "InMemoryChannelLayer",
    "InvalidChannelLayerError",
    "InvalidFrame",
    "Joined",
    "JsonWebsocketConsumer",
    "MessageTooLarge",
    "OriginValidator",
    "Page",
    "PresenceFull",
    "ProtocolTypeRouter",
    "RequestAborted",
    "RequestTimeout",
    "StopConsumer",
    "SyncConsumer",
    "TooManyGroups",
    "URLRouter",
    "WebsocketConsumer",
    "channel_layers",
    "close_group",
    "get_channel_layer",
    "lifespan",
    "path",
    "re_path",
    "register_converter",
    "relay",
    "relay_json",
]

_misrouted.explain_rejections()
