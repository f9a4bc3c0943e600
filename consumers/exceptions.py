"""The exceptions of this library.

    Exception
    ├── StopConsumer                end this connection cleanly
    ├── AcceptConnection            accept, raised inside connect()
    ├── DenyConnection              reject, raised inside connect()
    ├── ChannelFull                 a channel holds as many messages as it may
    ├── MessageTooLarge             a message is larger than the layer takes
    ├── TooManyGroups               a connection is in as many groups as it may be
    ├── PresenceFull                a key stands in a group by as many channels as it may
    ├── RequestAborted              the client went away in the middle of its request
    │   └── RequestTimeout          ... because it took too long
    └── ValueError
        ├── InvalidChannelLayerError    a channel layer is missing or configured wrongly
        └── InvalidFrame                the client sent what this consumer does not take

A send to a client that has gone raises Starlette's own `starlette.websockets.WebSocketDisconnect`. Raised while the
client is there, it closes the connection with its code and reason, as Starlette's `WebSocketException` does.
"""


class StopConsumer(Exception):
    """Raised in a handler to end the connection cleanly: it is closed, `disconnect()` runs, nothing is logged."""


class AcceptConnection(Exception):
    """Raised in `connect()` to accept the connection."""


class DenyConnection(Exception):
    """Raised in `connect()` to reject the connection (HTTP 403)."""


class ChannelFull(Exception):
    """A message was not sent: the channel holds as many messages as its capacity allows."""


class MessageTooLarge(Exception):
    """A message was not sent: it is larger than the channel layer can carry."""


class TooManyGroups(Exception):
    """A connection was not added to a group: it is in as many as its class's `max_groups` allows.

    Leaving a handler, it closes the connection with 1008 and logs one line, without a traceback.

    Args:
        max_groups: how many that are.
    """

    def __init__(self, max_groups: int) -> None:
        super().__init__(f"this connection is in {max_groups} groups, as many as max_groups allows: leave one first")
        self.max_groups = max_groups


class PresenceFull(Exception):
    """A channel was not tracked: its key has as many channels in the group as it may.

    Leaving a handler, it closes the connection with 1008 and logs one line, without a traceback.

    Args:
        key: the key.
        channels: how many that are.
    """

    def __init__(self, key: str, channels: int) -> None:
        super().__init__(f"key {key!r} is there by {channels} channels already, as many as one key may have in a group")
        self.key = key
        self.channels = channels


class RequestAborted(Exception):
    """The client went away in the middle of its request."""


class RequestTimeout(RequestAborted):
    """The client took too long to send its request."""


class InvalidChannelLayerError(ValueError):
    """A channel layer is missing, or its configuration is wrong."""


class InvalidFrame(ValueError):
    """The client sent a frame that the consumer does not take.

    Leaving a handler, it closes the connection with `code` and `reason` and logs one line, without a
    traceback: the client is at fault, not the application.

    Args:
        code: the close code (RFC 6455, 7.4.1): 1003 for a kind of data that is not taken, 1007 for data that
            does not parse, 1008 for anything else that is against the rules.
        reason: what was wrong, for the client; cut to 123 bytes of UTF-8.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} (close code {code})")
        self.code = code
        self.reason = reason
