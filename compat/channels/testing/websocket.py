"""A WebSocket client for tests."""

from consumers import testing as native

from .application import ApplicationCommunicator


class WebsocketCommunicator(ApplicationCommunicator, native.WebsocketCommunicator):
    """Speaks for a WebSocket client; see `consumers.testing.WebsocketCommunicator`."""
