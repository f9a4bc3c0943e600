"""What the in-memory layer shows to tests as `channels` and `groups`: dicts, as Channels' own are.

They always show the layer as it is, and what is changed in them changes the layer. Taking out what is not there is
harmless: a message that somebody waits for has left its channel already. To look drops nothing that has expired.
"""

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any, NoReturn

from consumers.layers._local import LocalChannels

if TYPE_CHECKING:
    Base = dict[str, Any]
else:

    class Base(MutableMapping, dict):
        """A dict whose methods are all made of the few below."""


class View(Base):
    """A dict of the names that there are now.

    Args:
        local: the layer's tables.
    """

    def __init__(self, local: LocalChannels) -> None:
        # json's encoder in C asks a dict for its items only if the dict below this class is not empty.
        dict.__setitem__(self, "", None)
        self._local = local

    @abstractmethod
    def _names(self) -> Collection[str]:
        """Return the names."""

    @abstractmethod
    def _value(self, name: str) -> Any:
        """Return what is shown for a name that there is."""

    def __getitem__(self, name: str) -> Any:
        if name not in self._names():
            raise KeyError(name)
        return self._value(name)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._names()))

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return name in self._names()

    @abstractmethod
    def __setitem__(self, name: str, value: Any) -> None: ...

    @abstractmethod
    def __delitem__(self, name: str) -> None: ...

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self._value(name)

    def pop(self, name: str, default: Any = None) -> Any:
        value = _plain(self.get(name, default))
        del self[name]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Take out the last name that can be taken out.

        Raises:
            KeyError: there is none; channels that are in use stay.
        """
        for name in reversed(self):
            value = _plain(self[name])
            del self[name]
            if name not in self:
                return name, value
        raise KeyError("there is nothing that can be taken out")

    def clear(self) -> None:
        """Take out every name; channels that are in use stay."""
        for name in self:
            del self[name]

    def replace(self, other: Mapping[str, Any]) -> None:
        """Take out every name, and put in those of another dict, which may be this one."""
        names = _plain(other)
        self.clear()
        self.update(names)

    def copy(self) -> dict[str, Any]:
        """Return a plain dict of what there is now."""
        return {name: _plain(self._value(name)) for name in self}

    # What MutableMapping leaves to dict, which would look past the layer.

    def __reversed__(self) -> Iterator[str]:
        return reversed(list(self))

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def __repr__(self) -> str:
        return repr(self.copy())


def _plain(value: Any) -> Any:
    """Return a copy of a view, and anything else as it is."""
    return value.copy() if isinstance(value, View) else value


class Channels(View):
    """The channels, with a queue for each: those that have messages, a consumer, or a receive that waits.

    Args:
        local: the layer's tables.
        capacity: returns how many messages a channel holds.
    """

    def __init__(self, local: LocalChannels, capacity: Callable[[str], int]) -> None:
        super().__init__(local)
        self._capacity = capacity

    def replace(self, other: Mapping[str, Any]) -> None:
        if not (isinstance(other, Channels) and other._local is self._local):  # `|=` has changed it already
            super().replace(other)

    def _names(self) -> Mapping[str, int]:
        return self._local.channels(expire=False)

    def _value(self, name: str) -> "Waiting":
        return Waiting(self._local, name, self._capacity(name))

    def __setitem__(self, name: str, value: Any) -> NoReturn:
        raise TypeError(f"channel {name!r} cannot be added by hand: send() a message to it")

    def __delitem__(self, name: str) -> None:
        self._local.forget(name)


class Groups(View):
    """The groups, with a dict of the members for each."""

    def _names(self) -> Mapping[str, frozenset[str]]:
        return self._local.groups(expire=False)

    def _value(self, name: str) -> "Members":
        return Members(self._local, name)

    def __setitem__(self, name: str, value: Mapping[str, Any]) -> None:
        Members(self._local, name).replace(value)

    def __delitem__(self, name: str) -> None:
        Members(self._local, name).clear()


class Members(View):
    """A group's channels; Channels has the time at which each was added, here it is None.

    Args:
        local: the layer's tables.
        group: the group's name.
    """

    def __init__(self, local: LocalChannels, group: str) -> None:
        super().__init__(local)
        self._group = group

    def _names(self) -> Collection[str]:
        return self._local.member_names(self._group)

    def _value(self, name: str) -> None:
        return None

    def __setitem__(self, name: str, value: object) -> None:
        self._local.group_add(self._group, name)

    def __delitem__(self, name: str) -> None:
        self._local.group_discard(self._group, name)


class Waiting:
    """What a test may ask the queue of a channel.

    Args:
        local: the layer's tables.
        channel: the channel's name.
        maxsize: how many messages it holds.
    """

    def __init__(self, local: LocalChannels, channel: str, maxsize: int) -> None:
        self._local = local
        self._channel = channel
        self.maxsize = maxsize

    def qsize(self) -> int:
        """Return how many messages wait."""
        return self._local.channels(expire=False).get(self._channel, 0)

    def empty(self) -> bool:
        """Tell whether none waits."""
        return not self.qsize()

    def full(self) -> bool:
        """Tell whether no more fit in."""
        return self.qsize() >= self.maxsize

    def get_nowait(self) -> tuple[float, dict[str, Any]]:
        """Take the oldest message, behind the time at which it expires.

        Raises:
            asyncio.QueueEmpty: there is none.
        """
        waiter = self._local.take(self._channel, lambda: None)
        if waiter.entry is None:
            self._local.withdraw(waiter)
            raise asyncio.QueueEmpty
        expires, message = waiter.entry
        return expires, dict(message)
