"""Fan-out inside one process: a message is handed over to whom the tables name, never with their lock held."""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable
from functools import partial
from typing import Any

from .._aio.loops import call_soon, is_closed, running_loop
from ..exceptions import ChannelFull
from ..types import Close, Message
from ._copy import Copier, choose_copier
from ._feed import Missing, is_complete
from ._full_mailboxes import FullMailboxes, Missed
from ._local_groups import LocalGroups
from ._receivers import ENDED, Entry, Lane, Receiver, Waiter, close_all

logger = logging.getLogger("consumers.layers")

SLOW = 1.0
"""Seconds that no sender pauses for a receiver that was full: it is slow by itself, and others would wait for it."""


EMPTY_GROUP = "nobody is in the group"
NO_RECEIVER = "nobody receives from the channel"
HAS_ENDED = "the consumer has ended that had the channel"


def note_unheard(message: Message, why: str, name: str) -> None:
    """Log, at level DEBUG, that a message reached nobody: `why` is one of the three above."""
    logger.debug("A message of type %.80r reached nobody: %s %.200r", _type_of(message), why, name)


def _type_of(message: Any) -> object:  # which ported code may send without one, or with no dict at all
    return message.get("type") if isinstance(message, dict) else type(message).__name__


class LocalChannels(LocalGroups):
    """The channels and groups of one process.

    Args:
        capacity, expiry, group_expiry, attached_prefix, clock, emptied, missing: as of `LocalGroups`.
        full_level: the level at which the log tells that a receiver is full.
        ended: told the name of each channel that is detached, or whose event loop has ended; from any thread.
    """

    def __init__(
        self,
        capacity: Callable[[str], int],
        expiry: float,
        group_expiry: float,
        attached_prefix: str,
        clock: Callable[[], float],
        emptied: Callable[[str], object] | None = None,
        full_level: int = logging.WARNING,
        missing: Missing = is_complete,
        ended: Callable[[str], object] = lambda _: None,
    ) -> None:
        super().__init__(capacity, expiry, group_expiry, attached_prefix, clock, emptied, missing)
        self._ended = ended
        self._full_mailboxes = FullMailboxes(clock, full_level)

    @property
    def dropped(self) -> int:
        """How many messages receivers have missed because they were full."""
        return self._full_mailboxes.dropped

    def detach(self, name: str) -> None:
        super().detach(name)
        self._ended(name)

    def send(self, channel: str, message: Message) -> int:
        """Send one channel a copy of the message.

        Returns:
            How many messages wait for it, if that is over half its capacity and its mailbox is of this event
            loop; otherwise 0. The sender should yield to the loop the more often, the more there are.

        Raises:
            ChannelFull: if it is full; a mailbox of another event loop counts what it drops instead.
        """
        receiver = self._receivers.get(channel)
        if receiver is None and self.is_attached_name(channel):
            note_unheard(message, HAS_ENDED, channel)
            return 0
        copy, original = choose_copier(message)
        if receiver is None or receiver.loop is None:
            is_awaited = self.is_awaited(channel)
            stored = self._store(channel, copy(original))
            if not stored:
                raise self._full(channel)
            if not is_awaited:
                self._note_waiting(channel, message)
            return stored if stored > self._capacity(channel) // 2 else 0
        full: list[Receiver] = []
        waiting = self._hand_over([receiver], original, copy, full.append, running_loop())
        if full:
            raise self._full(channel)
        return waiting

    def group_send(self, group: str, message: Message, excluded: frozenset[str] = frozenset()) -> int:
        """Send every member of a group but those excluded a copy of the message of its own.

        The messages of one sender reach one receiver in their order. A member that is full, or whose
        `deliver` raises, misses the message; members of a closed event loop are detached.

        Returns:
            The largest number that `send` would return for a member that took the message, or 0.
        """
        with self.lock:
            self._expire()
            members = self._groups.get(group)
            receivers = [] if members is None else list(members.values())
        if not receivers:
            note_unheard(message, EMPTY_GROUP, group)
        if excluded:
            receivers = [receiver for receiver in receivers if receiver.name not in excluded]
        return self._fan_out(receivers, message)

    def deliver(
        self,
        message: Message,
        channels: Iterable[str] = (),
        groups: Iterable[str] = (),
        excluded: Iterable[str] = (),
    ) -> int:
        """Send a copy of the message of its own to each of these channels and each member of these groups, once.

        Those excluded get none.

        Otherwise as `group_send`: also a channel named here that is full only misses the message.
        """
        channels = tuple(channels)
        with self.lock:
            self._expire()
            found: dict[str, Receiver] = {}
            for group in groups:
                found.update(self._groups.get(group, ()))
            for channel in channels:
                if channel not in found and (receiver := self._receiver(channel)) is not None:
                    found[channel] = receiver
        if not found and channels:
            note_unheard(message, HAS_ENDED, channels[0])
        for name in excluded:
            found.pop(name, None)
        return self._fan_out(list(found.values()), message)

    def close_members(self, code: int, reason: str, channels: Iterable[str] = (), groups: Iterable[str] = ()) -> None:
        """Close, each on its own event loop, those of these channels and of these groups' members that can be closed.

        Nothing that waits for them holds it up. Members of a closed event loop are detached.
        """
        with self.lock:
            names = dict.fromkeys(channels)
            for group in groups:
                names.update(dict.fromkeys(self._groups.get(group, ())))
            receivers = [receiver for name in names if (receiver := self._receivers.get(name)) is not None]
        loops: dict[object, list[Receiver]] = {}
        for receiver in receivers:
            if receiver.close is not None:
                loops.setdefault(receiver.loop, []).append(receiver)
        here = running_loop()
        for loop, members in loops.items():
            closing = partial(close_all, members, code, reason)
            if loop is here:
                closing()
                continue
            self._call_on(loop, members, closing)

    def detach_closed(self) -> None:
        """Detach the channels of asyncio's event loops that are closed."""
        if not any(is_closed(lane.loop) for lane in list(self._lanes.values())):  # nearly always
            return
        with self.lock:
            names = [receiver.name for receiver in self._receivers.values() if is_closed(receiver.loop)]
        for name in names:
            self.detach(name)

    def tell_attached(
        self, message: Message, group: str | None = None, unless_all: Callable[[str], object] | None = None
    ) -> None:
        """Send every attached channel, or every attached member of a group, a copy of the message.

        Args:
            message: the message.
            group: the group; None: all attached channels.
            unless_all: leaves out channels for all of whose groups it is true, if they are in any.
        """
        with self.lock:
            table = self._receivers if group is None else self._groups.get(group, {})
            receivers = [receiver for receiver in table.values() if receiver.loop is not None]
            if unless_all is not None:
                receivers = [each for each in receivers if not (each.groups and all(map(unless_all, each.groups)))]
        self._fan_out(receivers, message)

    def tell(
        self,
        message: Message,
        group: str,
        channels: Iterable[str],
        only: Iterable[str] | None,
        refused: Callable[[Receiver], None],
    ) -> bool:
        """Send each member of a group, and each of these channels, a message that the layer has made, once.

        Args:
            message: the message.
            group: the group.
            channels: the channels.
            only: those of them all that get it; None: all do.
            refused: hears of those that are full, each on its event loop.

        Returns:
            Whether there are any members or channels.
        """
        with self.lock:
            self._expire()
            found = dict(self._groups.get(group, ()))
            found.update((name, receiver) for name in channels if (receiver := self._receiver(name)) is not None)
        chosen = found.values() if only is None else [found[name] for name in only if name in found]
        copy, original = choose_copier(message)
        loops: dict[object, list[Receiver]] = {}
        for receiver in chosen:
            loops.setdefault(receiver.loop, []).append(receiver)
        for loop, receivers in loops.items():
            hand_over = partial(self._hand_over, receivers, original, copy, refused, loop)
            if loop is None:
                hand_over()
                continue
            self._call_on(loop, receivers, hand_over)  # also the one that is running: for their order
        return bool(found)

    def _fan_out(self, receivers: list[Receiver], message: Message) -> int:
        if not receivers:
            return 0
        copy, original = choose_copier(message)
        return self._hand_over(receivers, original, copy, self._drop, running_loop())

    def take(self, channel: str, wake: Callable[[], object]) -> Waiter:
        """Take the oldest message of a channel, or wait in line for the next.

        Args:
            channel: the channel, not an attached one.
            wake: called, on the event loop that is running now, when the waiter has got a message.

        Returns:
            The waiter; if its `entry` is None, wait for `wake`. If that is given up, call `withdraw`.
        """
        waiter = Waiter(channel, wake, running_loop())
        with self.lock:
            queue = self._live_queue(channel, self._expire())
            if queue:
                waiter.entry = queue.popleft()
                self._forget_if_empty(channel, queue)
            else:
                self._waiters.setdefault(channel, deque()).append(waiter)
        return waiter

    def withdraw(self, waiter: Waiter) -> None:
        """Stop waiting. A message that the waiter has already got goes to the next, or back to the front."""
        with self.lock:
            entry = waiter.entry
            if entry is None:
                waiters = self._waiters[waiter.channel]
                waiters.remove(waiter)
                if not waiters:
                    del self._waiters[waiter.channel]
        if entry is not None:
            self._offer(waiter.channel, entry, back=True)

    def adopt(self, name: str, close: Close) -> None:
        """Attach a channel whose messages are stored until they are taken, unless it is attached already."""
        receiver = self._receivers.get(name)
        if receiver is None or receiver.loop is None:
            self.attach(name, partial(self._store, name), close)

    def note_drop(self, channel: str) -> None:
        """Take note that a channel was full."""
        receiver = self._receivers.get(channel)
        if receiver is not None:
            self._drop(receiver)

    def put_back(self, channel: str, message: Message) -> None:
        """Give a message that was taken to the next who waits, or put it back to the front."""
        self._offer(channel, (self._clock() + self._expiry, message), back=True)

    def remove_stored(self, channel: str) -> list[tuple[float, Message]]:
        """Take all that is stored for a channel, oldest first, each with the seconds that it has waited here."""
        with self.lock:
            now = self._expire()
            queue = self._live_queue(channel, now)
            self._queues.pop(channel, None)
            return [(now + self._expiry - expires, message) for expires, message in queue]

    # Handing over

    def _hand_over(
        self,
        receivers: list[Receiver],
        message: Message,
        copy: Copier,
        refused: Callable[[Receiver], None],
        here: object | None,
    ) -> int:
        """Have receivers take a message: those of another event loop soon, and the others before this returns.

        Args:
            receivers: the receivers.
            message: the message.
            copy: makes the copy for each.
            refused: hears of those that are full.
            here: the running event loop; what `call_soon()` calls is in no task, and could not find it out.

        Returns:
            The largest count that one's `deliver` returned, of those over half their capacity, or 0. A receiver
            that is full takes nothing, so it never counts, nor does one that was so a moment ago.
        """
        lanes: Collection[Lane] = {receiver.lane for receiver in receivers}
        is_one = len(lanes) == 1  # nearly always
        if not is_one:
            lanes = dict.fromkeys([receiver.lane for receiver in receivers])  # in the members' order
        one_by_one: list[Receiver] = []
        for lane in lanes:
            members = receivers if is_one else [receiver for receiver in receivers if receiver.lane is lane]
            if lane.loop is not here and lane.loop is not None:
                self._post(lane.loop, members, message, copy)
            else:
                one_by_one += lane.hand_over(members, message, copy)
        return self._call_each(one_by_one, message, copy, refused) if one_by_one else 0

    def _call_each(
        self, receivers: list[Receiver], message: Message, copy: Copier, refused: Callable[[Receiver], None]
    ) -> int:
        """Call each `deliver`; return as `_hand_over()`."""
        most = 0
        for receiver in receivers:
            if receiver.lane is ENDED:
                continue
            try:
                waiting = receiver.deliver(copy(message))
            except Exception:
                logger.exception("Channel %.200r could not take a message", receiver.name)
                continue
            if not waiting:
                receiver.slow_until = self._clock() + SLOW
                refused(receiver)
            elif waiting > most and 2 * waiting > receiver.capacity and self._clock() >= receiver.slow_until:
                most = waiting
        return most

    def _post(self, loop: object, receivers: list[Receiver], message: Message, copy: Copier) -> None:
        """Have another event loop, which the receivers are of, hand the message over."""
        snapshot = copy(message)  # the sender may change its own before that loop gets to it
        self._call_on(loop, receivers, partial(self._hand_over, receivers, snapshot, copy, self._drop, loop))

    def _call_on(self, loop: object, receivers: list[Receiver], function: Callable[[], object]) -> None:
        """Have another event loop, which the receivers are of, call a function; detach them if it is closed."""
        try:
            call_soon(loop, function)
        except RuntimeError:
            for receiver in receivers:
                self.detach(receiver.name)

    def _drop(self, receiver: Receiver) -> None:
        if receiver.missed is None:
            receiver.missed = Missed()
        self._full_mailboxes.note(receiver.missed, receiver.name, receiver.capacity)

    def _note_waiting(self, channel: str, message: Message) -> None:
        advice = ". There is a group of that name, which takes group_send()" if self.has_group(channel) else ""
        text = "A message of type %.80r waits: nobody receives from the channel %.200r now%s"
        logger.debug(text, _type_of(message), channel, advice)

    def _full(self, channel: str) -> ChannelFull:
        return ChannelFull(f"Channel {channel!r} is full: it holds {self._capacity(channel)} messages, its capacity")

    def _store(self, channel: str, message: Message) -> int:
        return self._offer(channel, (self._clock() + self._expiry, message), back=False)

    def _offer(self, channel: str, entry: Entry, back: bool) -> int:
        """Give an entry to the oldest waiter, or store it: `back` at the front, new if there is room.

        Returns:
            How many wait now: 1 if a waiter got it, 0 if there was no room.
        """
        while True:
            with self.lock:
                waiter = self._next_waiter(channel)
                if waiter is None:
                    return self._enqueue(channel, entry, back)
                waiter.entry = entry
            if waiter.wake_up():
                return 1
