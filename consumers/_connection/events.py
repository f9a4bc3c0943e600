"""The shape of ASGI events, as pure functions.

Source: the ASGI specification, "WebSocket" (https://asgi.readthedocs.io/en/latest/specs/www.html).
"""

import re
from collections.abc import Iterable, Mapping
from json import loads
from typing import Any

from ..exceptions import InvalidFrame
from ..types import CloseCode, Message, Scope, cut_reason

DISCONNECTS = frozenset({"websocket.disconnect", "http.disconnect"})
FROM_CLIENT = frozenset({"websocket.receive", "http.request"})
"""The client's messages, beside what opens and ends its connection."""
FOR_CLIENT = frozenset({"websocket.send", "http.response.body"})
"""Those for the client."""
DISCONNECT_HANDLERS = {"websocket": "websocket_disconnect", "http": "http_disconnect"}

WORKER = "consumers.worker"
"""The ASGI extension that a worker's scope has, for named channels: a dict of two plain functions.

"want": takes how many more messages are wanted; an application that never calls it gets one whenever it asks.
"handed": is called when a handler gets the oldest message that none has got, by those who call "want".
"""

ENCODINGS = ("text", "bytes", "json", None)
"""What a Starlette endpoint may set as `encoding`."""

_NOT_IN_NAMES = re.compile(rb"[\s:\0]|^$")
_NOT_IN_VALUES = re.compile(rb"[\r\n\0]")

Headers = Iterable[tuple[bytes, bytes]] | Mapping[bytes, bytes]


def accept(subprotocol: str | None = None, headers: Headers | None = None) -> Message:
    """Build the event that accepts a WebSocket handshake."""
    event: Message = {"type": "websocket.accept", "subprotocol": subprotocol}
    if headers:
        event["headers"] = pairs(headers)
    return event


def pairs(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Return headers as the list of pairs that ASGI wants.

    Raises:
        ValueError: one would begin another header, or end them all (RFC 9110, 5.1 and 5.5): not every server looks.
    """
    listed = list(headers.items() if isinstance(headers, Mapping) else headers)
    for name, value in listed:
        if _NOT_IN_NAMES.search(name) or _NOT_IN_VALUES.search(value):
            raise ValueError(
                f"a header cannot hold line breaks or NUL, nor its name a space or colon: {name!r}: {value!r}"
            )
    return listed


def without_surrogates(event: Message) -> Message:
    """Return a frame without lone surrogates, which UTF-8 has no bytes for: as browsers do, with U+FFFD for each."""
    return text_frame(event["text"].encode("utf-16", "surrogatepass").decode("utf-16", "replace"))


def text_frame(text: str) -> Message:
    """Build the event that sends a text frame."""
    return {"type": "websocket.send", "text": text}


def data_of(message: Message, encoding: str | None) -> Any:
    """Return the data of a `websocket.receive` event.

    Args:
        message: the event.
        encoding: one of `ENCODINGS`; None is str or bytes as they come.

    Raises:
        InvalidFrame: it is of another kind (1003) or does not parse (1007).
    """
    text, data = message.get("text"), message.get("bytes")
    either = data if text is None else text
    if encoding is None:
        return either
    if encoding == "json":
        try:
            return loads(either or "")
        except (ValueError, RecursionError) as exc:
            raise InvalidFrame(CloseCode.INVALID_PAYLOAD, "Invalid JSON") from exc
    wanted = text if encoding == "text" else data
    if wanted is None:
        raise InvalidFrame(CloseCode.UNSUPPORTED_DATA, f"Expected a message of {encoding}")
    return wanted


def close(code: int | bool | None = None, reason: str | None = None) -> Message:
    """Build the event that closes, or before the accept rejects, a WebSocket.

    Args:
        code: the close code; None and True, as in Channels, mean 1000.
        reason: a text for the peer, cut to 123 bytes of UTF-8 at a character's border.

    Raises:
        ValueError: the code is no number.
    """
    number = CloseCode.NORMAL_CLOSURE if code is None or code is True else code
    if not isinstance(number, int):
        raise ValueError(f"close code {code!r} is not an int")
    return {"type": "websocket.close", "code": number, "reason": cut_reason(reason)}


def denial(status: int, body: bytes, headers: Headers | None = None) -> tuple[Message, Message]:
    """Build the two events of the ASGI extension `websocket.http.response`, which answer a handshake by HTTP."""
    start = {"type": "websocket.http.response.start", "status": status, "headers": pairs(headers or ())}
    return start, {"type": "websocket.http.response.body", "body": body}


def can_deny(scope: Scope) -> bool:
    """Tell whether the server can answer a handshake with an HTTP response of the application's."""
    return "websocket.http.response" in (scope.get("extensions") or {})


def url_route(scope: Scope) -> dict[str, Any]:
    """Return `scope["url_route"]` as Channels has it, with the path parameters of Starlette's routes merged in."""
    route, params = scope.get("url_route"), scope.get("path_params", {})
    if not route:
        return {"args": (), "kwargs": {**params}}
    return {"args": tuple(route.get("args", ())), "kwargs": {**params, **route.get("kwargs", {})}}
