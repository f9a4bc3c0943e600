"""How a client goes on after a cut: where it is in each of its groups, and which messages it has sent before.

`docs/reference/protocol.md` describes what goes over the wire. A group is known to clients by a label; its name never
leaves.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from hashlib import blake2b
from typing import Any

from pydantic_core import from_json
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from .._connection.positions import AT, Place, shared_with_member, with_member
from .._connection.subprotocols import TOKEN
from ..layers._history import HISTORY, Joined, Mark
from .models import TAG

SUBPROTOCOL = "consumers.v1"
"""What a client offers that speaks this protocol."""

PONG = '{"type":"pong"}'
"""What answers a ping: browsers show neither the pings nor the pongs of WebSocket itself."""

LONGEST_PING = 100
"""Characters."""

_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9_-]{22,64}")  # 128 bits at least


async def token(connection: HTTPConnection) -> str | None:
    """Return the token that a client has put into the handshake's subprotocols; None if there is none.

    A dependency of FastAPI's: `token: Annotated[str | None, Depends(token)]`. A browser can set no header of a
    WebSocket but this one, and a query ends up in logs.

    Args:
        connection: the connection, which FastAPI passes.
    """
    offered: Iterable[str] = connection.scope.get("subprotocols") or ()
    for each in offered:
        if each.startswith(TOKEN):
            encoded = each.removeprefix(TOKEN)
            try:
                return b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True).decode()
            except ValueError:
                return None
    return None


class Client:
    """The client of one connection: who it says that it is, where it was, and which groups it knows by labels.

    Args:
        scope: the connection's.
    """

    def __init__(self, scope: Any) -> None:
        query = QueryParams(scope.get("query_string", b""))
        key = query.get("client", "")
        self._key = key if _KEY.fullmatch(key) else None
        self._user = _user_of(scope)
        self._since = dict(text.rpartition(":")[::2] for text in query.getlist("since"))
        self._label_of: dict[str, str] = {}  # by group
        self._group_of: dict[str, str] = {}  # by label
        self._position_in: dict[str, str] = {}  # by group: what the client was told last
        self._without_history: set[str] = set()

    def message_id(self, id: str | int) -> str | None:
        """Return a name for a message that nobody else's has, given the id in its envelope; None without a key.

        The key is random, known to the client alone, and the same in all of its connections.
        """
        if self._key is None:
            return None
        return blake2b(repr((self._user, self._key, id)).encode(), digest_size=20).hexdigest()

    def since(self, label: str) -> str | None:
        """Return where the client was in the group of a label; None if it does not say, or has joined it since."""
        return self._since.get(label)

    def joins(self, group: str, label: str) -> None:
        """Note under which label a group is joined; it stands for no other group any more."""
        other_group, other_label = self._group_of.get(label), self._label_of.get(group)
        if other_group is not None:
            del self._label_of[other_group]
        if other_label is not None and other_label != label:
            del self._group_of[other_label]
            self._without_history.discard(other_label)
        self._label_of[group], self._group_of[label] = label, group
        self._without_history.discard(label)

    def has_joined(self, group: str, label: str, joined: Joined, since: str | None, is_member: bool) -> Joined:
        """Return what the client is to be told of a group.

        Args:
            group: the group.
            label: its label.
            joined: what the layer says.
            since: where the client was.
            is_member: whether it was in the group before. What waits for it then comes behind this, so that the client
                is where it was.
        """
        self._since.pop(label, None)
        if joined.position is None:
            if self._group_of.get(label) == group:  # or the label stands for another one meanwhile
                self._without_history.add(label)
        elif joined.missed and joined.recovered and since is not None:
            self._position_in[group] = since
        elif not joined.missed:
            position = self._position_in.get(group, joined.position) if is_member else joined.position
            self._position_in[group] = position
            return joined._replace(position=position)
        return joined

    def place_after(self, event: Mapping[str, Any]) -> Place | None:
        """Return where the client is when it has got a group's event; None if it is not to know."""
        mark = event.get(HISTORY)
        if not isinstance(mark, Mark):  # where the group has no history, it is any value of the application's
            return None
        group, position = mark["group"], mark["position"]
        label = self._label_of.get(group)
        if label is None or position is None:
            return None
        self._position_in[group] = position
        return label, position

    def labels_of_gap(self, group: str | None) -> list[str]:
        """Return the labels of what is incomplete, given the group of a `layer.gap`."""
        if group is None:
            return sorted(self._without_history)
        label = self._label_of.get(group)
        return [] if label is None else [label]


def checked_label(label: object) -> str:
    """Return a label.

    Raises:
        ValueError: it is not valid.
    """
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise ValueError(f"a label is 1 to 64 of A-Z a-z 0-9 _ . - and is what clients see, not {label!r:.80}")
    return label


def with_place(text: str, place: Place) -> str:
    """Return an object in JSON with the place that its client is at now.

    Raises:
        TypeError: the text is no object with a key.
    """
    if not text.startswith('{"'):
        raise TypeError(f"{text:.80} is no JSON object with a type: it cannot say where its client is")
    return with_member(text, AT, place)


def frame_with_place(frame: bytes, place: Place) -> str:
    """Do as `with_place()`, once for all members who know the group by the same label."""
    return shared_with_member(frame, AT, place)


def is_ping(text: str) -> bool:
    """Tell whether a short text is a ping."""
    try:
        found = from_json(text)
    except ValueError:
        return False
    return isinstance(found, dict) and found.get(TAG) == "ping"


def joined_text(label: str, joined: Joined) -> str:
    """Return what tells a client that it is in a group now."""
    return _as_json({TAG: "joined", "label": label, **joined._asdict()})


def gap_text(label: str) -> str:
    """Return what tells a client that it has missed messages."""
    return _as_json({TAG: "gap", "label": label})


def _as_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


class Handled:
    """What a handler handles at the moment, as far as what it sends refers to it.

    Args:
        consumer: whose handler it is.
        id: the id in the envelope of the client's message.
        place: where the client is once it has what the handler sends.
    """

    __slots__ = ("consumer", "id", "place", "sends")

    def __init__(self, consumer: object, id: str | int | None = None, place: Place | None = None) -> None:
        self.consumer = consumer
        self.id = id
        self.place = place
        self.sends = 0  # messages to groups so far: the second one has another id, and always the same


_handled: ContextVar[Handled | None] = ContextVar("handled", default=None)


class handling:  # one of `contextmanager` takes three times as long
    """While a handler runs, what it and what it calls send refers to what it handles.

    Args:
        handled: what it handles. What the handler has left running refers to nothing any more: it sends later, when the
            client may be elsewhere, and in an order of its own.
    """

    __slots__ = ("_before", "_handled")

    def __init__(self, handled: Handled) -> None:
        self._handled = handled

    def __enter__(self) -> None:
        self._before = _handled.set(self._handled)

    def __exit__(self, *error: object) -> None:
        self._handled.id = self._handled.place = None
        _handled.reset(self._before)


def handled_by(consumer: object) -> Handled | None:
    """Return what a consumer's handler, whose context this is, handles; None if there is nothing to refer to."""
    handled = _handled.get()
    return handled if handled is not None and handled.consumer is consumer else None


def _user_of(scope: Any) -> str:
    """Return what tells a user from others; "" for one that is not known."""
    user = scope.get("user")
    for name in ("pk", "identity", "username"):  # Django's, and Starlette's
        try:
            value = getattr(user, name, None)
        except NotImplementedError:  # as Starlette's own users raise
            continue
        if value is not None:
            return str(value)
    return ""
