"""A real WebSocket client in blocking style."""

from contextlib import contextmanager

from websockets.sync.client import connect


@contextmanager
def client(url, headers):
    """Connect, and close when the block ends.

    Args:
        url: the address.
        headers: further headers of the handshake, "Origin" among them.
    """
    others = {name: value for name, value in headers.items() if name != "Origin"}
    with connect(url, origin=headers.get("Origin"), additional_headers=others, open_timeout=10) as socket:
        yield socket
