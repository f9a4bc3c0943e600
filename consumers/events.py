"""The shape of messages and ASGI events, as pure functions.

Sources: the ASGI specification, "WebSocket" (https://asgi.readthedocs.io/en/latest/specs/www.html), and
RFC 6455, section 7.4, for close codes.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from json import loads
from typing import Any

from .exceptions import InvalidFrame
from .types import Message, Scope

DISCONNECTS = frozenset({"websocket.disconnect", "http.disconnect"})
DISCONNECT_HANDLERS = {"websocket": "websocket_disconnect", "http": "http_disconnect"}

WORKER = "consumers.worker"
"""The ASGI extension that a worker's scope has, for named channels: a dict of two plain functions.

"want": takes how many more messages are wanted; an application that never calls it gets one whenever it asks.
"handed": is called when a handler gets the oldest message that none has got, by those who call "want".
"""

NORMAL_CLOSURE = 1000
GOING_AWAY = 1001
NO_STATUS_RECEIVED = 1005
ABNORMAL_CLOSURE = 1006
UNSUPPORTED_DATA = 1003
INVALID_PAYLOAD = 1007
POLICY_VIOLATION = 1008
MESSAGE_TOO_BIG = 1009
INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012
TRY_AGAIN_LATER = 1013

MAX_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame carries 125 bytes, the code takes two

MAX_TYPE_LENGTH = 200  # characters; a client may have chosen the type

ENCODINGS = ("text", "bytes", "json", None)
"""What a Starlette endpoint may set as `encoding`."""

_NOT_IN_NAMES = re.compile(rb"[\s:\0]|^$")
_NOT_IN_VALUES = re.compile(rb"[\r\n\0]")

Headers = Iterable[tuple[bytes, bytes]] | Mapping[bytes, bytes]


def handler_name(message: Mapping[str, Any]) -> str:
    """Return the name of the method that handles `message`: its type, with `_` for every `.`.

    Raises:
        ValueError: the message has no type, or one that is no text, begins with an underscore, or names no method.
    """
    try:
        return _method_name(message["type"])
    except KeyError:
        raise ValueError("Incoming message has no 'type' attribute") from None
    except TypeError:  # it cannot be hashed
        raise ValueError(f"Malformed type in message: {message['type']!r:.80} is not a str") from None


@lru_cache(maxsize=1024)
def _method_name(kind: object) -> str:
    if not isinstance(kind, str):
        raise ValueError(f"Malformed type in message: {kind!r:.80} is not a str")
    if len(kind) > MAX_TYPE_LENGTH:
        raise ValueError(f"Malformed type in message: {len(kind)} characters, {kind[:20]!r}…")
    name = kind.replace(".", "_")
    if name.startswith("_"):
        raise ValueError(f"Malformed type in message (leading underscore): {kind!r}")
    if not name.isidentifier():
        raise ValueError(f"Malformed type in message (no method's name): {kind!r}")
    return name


def is_sendable(code: int) -> bool:
    """Tell whether an endpoint may put close code `code` into a frame (RFC 6455, 7.4)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def private_code(code: int) -> int:
    """Return the code of RFC 6455's private use that stands for a standard one: 4008 for 1008, and so on."""
    return 3000 + code


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
            raise InvalidFrame(INVALID_PAYLOAD, "Invalid JSON") from exc
    wanted = text if encoding == "text" else data
    if wanted is None:
        raise InvalidFrame(UNSUPPORTED_DATA, f"Expected a message of {encoding}")
    return wanted


def close(code: int | bool | None = None, reason: str | None = None) -> Message:
    """Build the event that closes, or before the accept rejects, a WebSocket.

    Args:
        code: the close code; None and True, as in Channels, mean 1000.
        reason: a text for the peer, cut to 123 bytes of UTF-8 at a character's border.

    Raises:
        ValueError: the code is no number.
    """
    number = NORMAL_CLOSURE if code is None or code is True else code
    if not isinstance(number, int):
        raise ValueError(f"close code {code!r} is not an int")
    text = (reason or "").encode(errors="replace")[:MAX_REASON_BYTES].decode(errors="ignore")
    return {"type": "websocket.close", "code": number, "reason": text}


def check_close_code(code: object) -> None:
    """Raise ValueError if `code` may not be sent in a close frame, naming the codes that may."""
    if not isinstance(code, int) or not is_sendable(code):
        raise ValueError(
            f"close code {code!r} cannot be sent: use 1000-1003, 1007-1014, or 3000-4999 for codes of your own"
        )


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
