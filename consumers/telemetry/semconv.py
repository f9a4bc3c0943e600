"""The semantic conventions: what is measured, as data, and the values that attributes can have."""

from typing import Literal, NamedTuple, get_args

from ..types import DropReason, MessageSource

METER_NAME = "consumers"

Kind = Literal["Counter", "UpDownCounter", "Gauge", "Histogram"]

CONSUMER = "consumers.consumer.class"
PROTOCOL = "consumers.protocol"
CLOSE_CODE = "consumers.close.code"
SOURCE = "consumers.message.source"
REASON = "consumers.drop.reason"
HANDLER = "consumers.handler.name"
LAYER = "consumers.layer.class"
OPERATION = "consumers.layer.operation"
ERROR_TYPE = "error.type"

OTHER = "_OTHER"
"""OpenTelemetry's value for what is not told apart."""

CANCELLED = "cancelled"
"""The error type of a cancellation, which each event loop has a class of its own for."""

REJECTED = "rejected"

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""The buckets' borders: OpenTelemetry's usual ones would put most handlers into the first."""


class Instrument(NamedTuple):
    """What one name stands for.

    Args:
        kind: OpenTelemetry's kind; all but histograms are read when a reader asks, and cost a message an addition.
        unit: in UCUM's notation, as OpenTelemetry wants it.
        description: what is measured.
        attributes: those that a measurement can have.
    """

    kind: Kind
    unit: str
    description: str
    attributes: tuple[str, ...]


INSTRUMENTS = {
    "consumers.connection.active": Instrument(
        "UpDownCounter",
        "{connection}",
        "Connections that are open now, those in their handshake included",
        (CONSUMER, PROTOCOL),
    ),
    "consumers.connection.opened": Instrument(
        "Counter", "{connection}", "Connections that began", (CONSUMER, PROTOCOL)
    ),
    "consumers.connection.closed": Instrument(
        "Counter",
        "{connection}",
        "Connections that ended, after `disconnect()`",
        (CONSUMER, PROTOCOL, CLOSE_CODE),
    ),
    "consumers.message.received": Instrument(
        "Counter",
        "{message}",
        "Messages that came from clients, and from layers for consumers",
        (CONSUMER, PROTOCOL, SOURCE),
    ),
    "consumers.message.sent": Instrument(
        "Counter",
        "{message}",
        "Messages that the server took for clients, raw frames and parts of HTTP bodies included",
        (CONSUMER, PROTOCOL),
    ),
    "consumers.message.dropped": Instrument(
        "Counter",
        "{message}",
        "Messages for consumers that no handler saw to its end",
        (CONSUMER, PROTOCOL, REASON),
    ),
    "consumers.handler.duration": Instrument(
        "Histogram", "s", "Time that a handler took, to its end, error or cancellation", (CONSUMER, HANDLER, ERROR_TYPE)
    ),
    "consumers.mailbox.messages": Instrument(
        "UpDownCounter", "{message}", "Messages that wait for handlers, of all connections", (CONSUMER, PROTOCOL)
    ),
    "consumers.mailbox.depth": Instrument(
        "Gauge", "{message}", "Messages that wait in the fullest mailbox", (CONSUMER, PROTOCOL)
    ),
    "consumers.layer.operation.duration": Instrument(
        "Histogram", "s", "Time that an operation on a channel layer took", (LAYER, OPERATION, ERROR_TYPE)
    ),
    "consumers.layer.dropped": Instrument(
        "Counter",
        "{message}",
        "Messages that full mailboxes have missed, and full queues refused: `layer.dropped`",
        (LAYER,),
    ),
    "consumers.layer.stored": Instrument(
        "UpDownCounter", "{message}", "Messages in this process that wait for a `receive()`: `layer.stored`", (LAYER,)
    ),
}

SOURCES: tuple[MessageSource, ...] = get_args(MessageSource)

REASONS: dict[DropReason, str] = {
    "mailbox_full": "a layer's message found the mailbox full, at its capacity; a `send()` of it raised `ChannelFull`",
    "no_handler": "a layer's message names no handler, or is a raw frame that cannot be sent",
    "limit": "the client's message went beyond `rate_limit` or `max_message_size`",
    "ending": "it waited, or came, when the connection ended",
    "handler_cancelled": "its handler was cancelled because the connection ended",
}


def close_label(code: object, told_apart: frozenset[int]) -> str:
    """Return what a close code is called: exactly those of RFC 6455's own range, and those to be told apart."""
    if not isinstance(code, int):
        return OTHER
    if 1000 <= code <= 1015 or code in told_apart:
        return str(int(code))
    return f"{code // 1000}xxx" if 3000 <= code <= 4999 else OTHER


def checked_codes(codes: object) -> frozenset[int]:
    """Return the close codes to be told apart.

    Raises:
        TypeError: they are no ints, or not several.
        ValueError: one is not of 3000 to 4999: others are told apart anyway, or never sent.
    """
    try:
        listed = list(codes)  # type: ignore[call-overload]
    except TypeError:
        raise TypeError(f"close_codes must be a list of ints, not {codes!r:.80}") from None
    for code in listed:
        if isinstance(code, bool) or not isinstance(code, int):
            raise TypeError(f"close_codes must be ints, not {code!r:.80}")
        if not 3000 <= code <= 4999:
            raise ValueError(f"close_codes must be of 3000 to 4999, which applications choose from, not {code}")
    return frozenset(listed)
