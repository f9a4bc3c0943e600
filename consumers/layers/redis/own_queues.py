"""Which of a process' own queues messages are taken from.

One queue is for the attached channels and for all groups. Each kind of channel that `new_channel()` makes has another
one, for what is sent to these channels alone.
"""

import threading
import time
from dataclasses import dataclass, field

from .._local import LocalChannels

AT_ONCE = 64
"""Messages taken together from one of the process' own queues."""

RECENTLY = 5.0
"""Seconds after a `receive()` in which a channel is listened to without it: most who have received do it again."""

SPARE = 64
"""Queues that are remembered before it is looked for those that nobody needs any more."""


@dataclass(slots=True)
class Wanted:
    """The queues to take from.

    Attributes:
        heads: what the names of their channels begin with.
        together: those of them that have messages for the same channels: they are emptied together, or the messages'
            order would be lost.
        at_once: how many messages to take from one queue, beyond the first of all.
    """

    heads: set[str] = field(default_factory=set)
    together: set[str] = field(default_factory=set)
    at_once: int = AT_ONCE


class OwnQueues:
    """The queues of one process. Everything may be called from any thread.

    Args:
        head: what the names of the attached channels begin with.
        local: the process' channels and groups.
        expiry: seconds until a queue that nothing is sent to is gone from Redis.
    """

    def __init__(self, head: str, local: LocalChannels, expiry: float) -> None:
        self._head = head
        self._local = local
        self._expiry = expiry
        self._lock = threading.Lock()
        self._used: dict[str, float] = {}  # the others' heads, and when each was last used
        self._received: dict[str, float] = {}  # channels, and until when they are listened to
        self._many = SPARE

    def note_used(self, channel: str) -> None:
        """Take note that a channel was made, or joins a group."""
        head = head_of(channel)
        if head == self._head:
            return
        with self._lock:
            self._used[head] = time.monotonic()
            if len(self._used) > self._many:
                self._forget_unused()

    def note_received(self, channel: str) -> None:
        """Take note that a `receive()` of a channel has ended."""
        now = time.monotonic()
        with self._lock:
            self._received.pop(channel, None)
            self._received[channel] = now + RECENTLY  # the last one is the last to go
            for known, until in list(self._received.items()):
                if until > now:
                    break
                del self._received[known]
        self.note_used(channel)

    def all(self) -> set[str]:
        """Return the heads of all queues that may have messages."""
        with self._lock:
            return {self._head, *self._used}

    def wanted(self) -> Wanted:
        """Return where to take messages from now."""
        local, now = self._local, time.monotonic()
        awaited = [channel for channel in local.awaited() if "!" in channel]
        with self._lock:
            received = [channel for channel, until in self._received.items() if until > now]
            has_others = bool(self._used)
        if not awaited and not received and not local.has_attached():
            return Wanted()
        together = {self._head}
        if has_others:
            together.update(map(head_of, filter(_is_own, local.stored_members())))
        found = Wanted(together.union(map(head_of, awaited), map(head_of, received)), together)
        if not awaited and not local.has_attached():
            # Nobody waits for what comes. It is kept here, as long as there is room for all of it.
            found.at_once = min(AT_ONCE, local.least_room(received) // len(found.heads) - 1)
        return found if found.at_once >= 0 else Wanted()

    def _forget_unused(self) -> None:
        now, needed = time.monotonic(), set(map(head_of, self._local.stored_members()))
        for head, used in list(self._used.items()):
            if used + self._expiry < now and head not in needed:
                del self._used[head]
        self._many = 2 * len(self._used) + SPARE


def head_of_process(process_id: str) -> str:
    """Return what the names of a process' attached channels, and of those that `new_channel()` makes, begin with."""
    return f"specific.{process_id}!"


def process_of(channel: str) -> str:
    """Return what `head_of_process()` does for the process of a channel."""
    return head_of_process(head_of(channel)[:-1].rpartition(".")[2])


def head_of(channel: str) -> str:
    """Return what the names of the channels of a channel's queue begin with."""
    return channel.partition("!")[0] + "!"


def _is_own(channel: str) -> bool:
    return "!" in channel
