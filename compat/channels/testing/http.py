"""An HTTP client for tests."""

from consumers import testing as native

from .application import ApplicationCommunicator


class HttpCommunicator(ApplicationCommunicator, native.HttpCommunicator):
    """Speaks for an HTTP client; see `consumers.testing.HttpCommunicator`."""
