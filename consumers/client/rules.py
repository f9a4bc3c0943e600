"""What a client does after a close, when it tries again, and what it says in the handshake: rules without any I/O."""

import random
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Literal, NamedTuple
from urllib.parse import SplitResult, quote, urlencode, urlsplit

State = Literal["connecting", "recovering", "open", "offline", "closed"]
"""See the diagram in `docs/reference/protocol.md`."""

PROTOCOL = "consumers.v1"

ANY_CONSUMER = "consumers.any"
"""What a consumer chooses that does not speak it."""

PROTOCOLS_OWN = frozenset({"error", "ack", "joined", "gap", "ping", "pong", "expires"})
"""The types of messages that are no application's."""

ANSWERS = frozenset({"ack", "error"})
"""Those of them that may answer a request."""

SHORTEST_RETRY = 0.5  # seconds, as all times here
LONGEST_RETRY = 20.0
LONGEST_HINT = 600.0

NORMAL = 1000
POLICY_VIOLATION = 1008
TOO_BIG = 1009
TOKEN_EXPIRED = 4401
FIRST_CLOSE_CODE = 1000  # below are HTTP's statuses, and 0
OF_PRIVATE_USE = (4011, 4012, 4013)
"""What stands for 1011, 1012 and 1013 where a server cannot send them."""

UNAUTHENTICATED = (401, 403)  # HTTP
TRANSIENT = (408, 425, 429)  # HTTP

MOST_DOUBLINGS = 10
MOST_REASON = 123  # bytes

_HINT = re.compile(r"\bretry=(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", re.ASCII)
_IN_ADDRESSES = "/?:@!$&'()*+,;=~-._%"  # what a path or a query has as it is
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}


class Detail(NamedTuple):
    """What is known of why a client is in its state."""

    code: int = 0
    """The close code; the HTTP status of a refused handshake; 0 if there was no connection, or no close."""

    reason: str = ""
    """The close's reason, or what went wrong."""

    retry_in: float | None = None
    """Seconds until the client tries again; None: it does not, or it is connected."""


def is_final(code: int) -> bool:
    """Tell whether it makes no sense to try again after a close code, or after the HTTP status of a handshake."""
    return (
        code in (NORMAL, POLICY_VIOLATION, TOO_BIG)
        or (4000 <= code < 5000 and code not in OF_PRIVATE_USE)
        or (200 <= code < 500 and code not in TRANSIENT)
    )


def check_close(code: int, reason: str) -> None:
    """Raise ValueError for what a client cannot close with."""
    if code != NORMAL and not 3000 <= code < 5000:
        raise ValueError(f"a client closes with 1000, or 3000 to 4999, not with {code!r}")
    if len(reason.encode()) > MOST_REASON:
        raise ValueError(f"the reason of a close has at most {MOST_REASON} bytes, not {len(reason.encode())}")


def hinted(reason: str, chance: random.Random) -> float | None:
    """Return in how many seconds the server wants this client back; None if it says nothing."""
    hint = _HINT.search(reason)
    return None if hint is None else between(float(hint[1]), float(hint[2]), chance)


def retry_after(header: str | None, chance: random.Random) -> float | None:
    """Return the same, given a refused handshake's header, which may be the same for all clients."""
    if header is None or not (header.isascii() and header.isdigit()):
        return None
    return between(float(header), 1.25 * float(header), chance)


def between(one: float, other: float, chance: random.Random) -> float:
    """Return a time between two, neither of them so long that nobody waits for it."""
    return min(LONGEST_HINT, one, other) + chance.random() * min(LONGEST_HINT, abs(one - other))


def backoff(attempt: int, chance: random.Random) -> float:
    """Return the seconds until the next attempt, after so many that failed: anything up to a limit that doubles."""
    return chance.random() * min(LONGEST_RETRY, SHORTEST_RETRY * float(1 << min(attempt, MOST_DOUBLINGS)))


def new_key() -> str:
    """Return a client's name, which nobody else can guess."""
    return secrets.token_urlsafe(18)


def checked_url(url: str) -> SplitResult:
    """Return the parts of a WebSocket's address. `http` and `https` stand for `ws` and `wss`.

    Raises:
        ValueError: it is not valid.
    """
    try:
        parts = urlsplit(url)
        scheme, port = _SCHEMES[parts.scheme], parts.port
        is_host = bool((parts.hostname or "").encode("idna")) and port != 0
    except (KeyError, ValueError):
        is_host = False
    if not is_host or (parts.username is None) != (parts.password is None):
        raise ValueError(f"{url!r:.200} is no address of a WebSocket: write wss://host/path, or ws://host:port/path")
    path, query = (quote(part, _IN_ADDRESSES) for part in (parts.path or "/", parts.query))
    return parts._replace(scheme=scheme, path=path, query=query, fragment="")


def address(parts: SplitResult, key: str, since: Mapping[str, str]) -> str:
    """Return the address of the next connection, which says who the client is and where it was."""
    places = (("since", f"{label}:{position}") for label, position in since.items())
    query = urlencode([("client", key), *places], errors="replace")
    return parts._replace(query="&".join(filter(None, (parts.query, query)))).geturl()


def name_of(parts: SplitResult) -> str:
    """Return an address for logs and errors, without what may be secret."""
    return parts._replace(query="", netloc=parts.netloc.rpartition("@")[2]).geturl()


def subprotocols(token: str | None) -> list[str]:
    """Return what a client offers in the handshake.

    Raises:
        TypeError: the token is no text.
        ValueError: it has a character that UTF-8 does not have.
    """
    if not token:
        return [PROTOCOL, ANY_CONSUMER]
    if not isinstance(token, str):
        raise TypeError(f"a token is text, not {type(token).__name__}")
    return [PROTOCOL, ANY_CONSUMER, f"token.{urlsafe_b64encode(token.encode()).decode().rstrip('=')}"]
