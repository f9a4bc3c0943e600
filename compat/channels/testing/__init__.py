"""Channels' communicators, and its live server for Django's tests."""

from typing import TYPE_CHECKING, Any

from .application import ApplicationCommunicator as ApplicationCommunicator
from .http import HttpCommunicator as HttpCommunicator
from .websocket import WebsocketCommunicator as WebsocketCommunicator

if TYPE_CHECKING:
    from .live import ChannelsLiveServerTestCase as ChannelsLiveServerTestCase

__all__ = ["ApplicationCommunicator", "ChannelsLiveServerTestCase", "HttpCommunicator", "WebsocketCommunicator"]


def __getattr__(name: str) -> Any:
    if name == "ChannelsLiveServerTestCase":  # needs Django
        from .live import ChannelsLiveServerTestCase

        return ChannelsLiveServerTestCase
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
