"""A WebSocket client for tests."""

from consumers import testing as native

from .application import ApplicationCommunicator


class WebsocketCommunicator(ApplicationCommunicator, native.WebsocketCommunicator):
    """Speaks for a WebSocket client; see `consumers.testing.WebsocketCommunicator`."""

    def _check_frame(self, text_data: object, bytes_data: object) -> None:
        try:
            super()._check_frame(text_data, bytes_data)
        except (TypeError, ValueError) as error:
            raise AssertionError(str(error)) from None
