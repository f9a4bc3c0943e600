"""What clients of this library offer as subprotocols of WebSocket."""

from collections.abc import Iterable

ANY_CONSUMER = "consumers.any"
"""Says nothing of what the two speak: browsers close a connection for which none of their subprotocols is chosen."""

TOKEN = "token."
"""What a subprotocol begins with that has a token in it, as base64url without padding; see `consumers.typed.token`."""


def without_tokens(offered: Iterable[str]) -> list[str]:
    """Return what a client offers, as a log may show it."""
    return [name if not name.startswith(TOKEN) else f"{TOKEN}…" for name in offered]
