"""Channels' communicators, and its live server for Django's tests."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .. import routing  # noqa: F401  # as an attribute of the package, which code relies on
from .application import ApplicationCommunicator as ApplicationCommunicator
from .http import HttpCommunicator as HttpCommunicator
from .websocket import WebsocketCommunicator as WebsocketCommunicator

if TYPE_CHECKING:
    from .live import ChannelsLiveServerTestCase as ChannelsLiveServerTestCase

__all__ = ["ApplicationCommunicator", "ChannelsLiveServerTestCase", "HttpCommunicator", "WebsocketCommunicator"]


def __getattr__(name: str) -> Any:
    if name in ("ChannelsLiveServerTestCase", "live"):  # needs Django
        live = import_module(f"{__name__}.live")
        return live if name == "live" else live.ChannelsLiveServerTestCase
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
