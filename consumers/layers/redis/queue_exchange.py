"""What a process takes from queues, and what becomes of it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from ..._aio.loops import running_loop
from ...types import Message
from .._history import NOBODY, Channels
from .._options import take_excluded
from .._presence import FORGED, is_forged
from ..codec import CHANNELS_KEY, Codec
from .commands import Commands
from .dropped import DroppedLog
from .exchange import Receiver
from .memberships import Memberships
from .orders import Orders, control_of
from .own_queues import OwnQueues, Wanted
from .owner_loop import together
from .presence import RedisPresence
from .put_back import PutBack
from .queue_reader import Entry, QueueReader
from .round_trips import Flow
from .settings import Settings

if TYPE_CHECKING:
    from .process import Process


class QueueExchange:
    """The queues of one process, made of parts.

    Args:
        process: the process.
        settings: the layer's.
        codec: the layer's.
        lease: seconds until a process that was killed is in no group any more.
        group_key: returns a group's key in Redis.
        presence: who is there.

    Attributes:
        queues: which of its own queues messages are taken from.
        memberships: the groups that it is in.
        put_back: puts back what was taken for nobody.
        orders: what other processes order.
    """

    def __init__(
        self,
        process: "Process[QueueExchange]",
        settings: Settings,
        codec: Codec,
        lease: float,
        group_key: Callable[[str], bytes],
        presence: RedisPresence,
    ) -> None:
        self.presence = presence
        self._dropped = DroppedLog()
        self.queues = OwnQueues(process.head, process.local, settings.expiry)
        self.memberships = Memberships(process, settings, lease, group_key)
        self.put_back = PutBack(process.local, process.trips, settings, codec, self._dropped)
        self.orders = Orders(process, settings, codec, self.memberships, self._dropped)
        self._process = process
        self._local = process.local
        self._owners = process.owners
        self._settings = settings
        self._codec = codec

    def note_attached(self, is_first: bool) -> None:
        """Take note, on whichever loop, that a consumer was attached.

        Args:
            is_first: whether there was none before: what is in the queue has waited there for somebody.
        """
        owner = self._owners.current
        if is_first and owner is not None:
            owner.call_soon(lambda: self._process.spawn(_update_readers(owner.receivers)))

    # For the owner loop: see `Exchange`

    def make_receivers(
        self,
        commands: Sequence[Commands],
        on_change: Callable[[int, bool], object],
        predecessors: Sequence[Receiver] | None,
    ) -> list[QueueReader]:
        self.memberships.forget_joins()
        settings, readers = self._settings, []
        for shard, host in enumerate(settings.hosts):
            predecessor = None if predecessors is None else predecessors[shard]
            assert predecessor is None or isinstance(predecessor, QueueReader)
            own = settings.prefix + self._process.head
            changed = partial(on_change, shard)
            readers.append(QueueReader(host, settings.timeout, changed, commands[shard], own, self, shard, predecessor))
        return readers

    async def work(self) -> None:
        await together(self.memberships.renew_forever(), self.presence.work())

    async def join(self, group: str) -> None:
        """Wait until Redis knows that the process is in a group, and others that it lives; on the owner loop."""
        await self.memberships.join(group)
        await self.presence.prepare(group)

    async def restore(self, shard: int) -> None:
        await self.memberships.rejoin(shard)

    async def settle(self, timeout: float) -> bool:
        return await self.put_back.wait(timeout)

    def clean_up(self, is_final: bool) -> Flow[None]:
        ending = self.presence.clean_up(is_final)
        yield from self.put_back.all_stored()
        requests = self.memberships.clean_up(is_final)
        heads = self.queues.all() if is_final or not self._process.has_channels else ()
        for shard, commands in requests:
            if heads:
                commands.append(("UNLINK", *(self._settings.prefix + head for head in heads)))
            if commands:
                yield [(shard, commands)]
        yield from ending  # last: Redis may refuse it

    def has_anything(self) -> bool:
        has_members = self._local.has_groups() or self.memberships.has_left_some()
        return self._process.has_channels or has_members or self.presence.has_anything()

    def on_empty(self, group: str) -> None:
        self.presence.forget_group(group)
        self.memberships.note_empty(group)
        self._owners.call_soon(self.memberships.leave, group)

    def on_missing(self, group: str, offset: int) -> None:
        raise AssertionError("no group of this layer has a history")

    async def listen_to(self, channel: str) -> None:
        owner = self._owners.require()
        await owner.until_one_is_ready()
        await _update_readers(owner.receivers)

    def after_receive(self, channel: str) -> None:
        if "!" in channel:
            self.queues.note_received(channel)
        elif self._local.held(channel) and not self._local.is_awaited(channel) and running_loop() is not None:
            # It had got a message, and was cancelled. Another process may wait for that now. (Without a running loop
            # nobody has been cancelled: the coroutine of receive() is thrown away, after its loop.)
            self.put_back.stored(channel)

    # For queue readers: see `Source`

    def wanted(self) -> Wanted:
        wanted = self.queues.wanted()
        heads, together = (
            {self._settings.prefix + head for head in these} for these in (wanted.heads, wanted.together)
        )
        return Wanted(heads, together, wanted.at_once)

    def named(self) -> list[str]:
        return [self._settings.prefix + name for name in self._local.awaited() if "!" not in name]

    async def after_others(self) -> None:
        await self._owners.after_others()

    def on_entry(self, shard: int, entry: Entry) -> int:
        key, payload, sent = entry
        if sent + self._settings.expiry < time.time():
            age = time.time() - sent
            return self._dropped.note(f"it was sent {age:.1f} s ago, and expires after {self._settings.expiry} s")
        queue = key.decode(errors="replace").removeprefix(self._settings.prefix)
        if "!" not in queue and not self._local.is_awaited(queue):  # whoever waited has been cancelled
            self.put_back.entry(shard, queue, entry)
            return 0
        try:
            message = self._codec.decode(payload)
        except ValueError as error:
            return self._dropped.note(str(error))
        if is_forged(message):
            return self._dropped.note(FORGED.format(message["type"]))
        to, excluded = message.pop(CHANNELS_KEY, None), take_excluded(message)
        if "!" not in queue:
            return self._deliver(message, [queue], [])
        names = [name for name in (to if isinstance(to, list) else [to]) if isinstance(name, str)]
        if not names:
            self._dropped.note(f"it is in the queue {queue!r:.200} and for no channel")
        if names == [control_of(self._process.head)]:
            self.orders.obey(message)
            return 0
        return self._deliver(message, *self.memberships.addressed(names), excluded)

    def _deliver(self, message: Message, channels: list[str], groups: list[str], excluded: Channels = NOBODY) -> int:
        try:
            return self._local.deliver(message, channels, groups, excluded)
        except Exception as error:
            return self._dropped.note_not_copied(error)


async def _update_readers(receivers: Sequence[Receiver]) -> None:
    """Have the pops that wait in Redis include all that is to be taken now."""
    readers = [reader for reader in receivers if isinstance(reader, QueueReader) and not reader.hears_all]
    if readers:
        await asyncio.gather(*(reader.update() for reader in readers))
