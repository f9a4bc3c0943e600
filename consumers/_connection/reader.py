"""The reader: the server's own task, which awaits `receive()` and nothing else."""

import anyio

from .._aio.mailbox import Mailbox
from ..types import CloseCode, ConnectionObserver, Message, Receive
from . import close_codes, events
from .backlog import Taken
from .consumer import Consumer
from .enforce import Enforcer, LimitHit
from .sender import Sender
from .shutdown import Shutdown


class Reader:
    """Puts one client's messages into its mailbox.

    Args:
        consumer: the consumer.
        receive: the server's ASGI `receive`.
        mailbox: the connection's.
        sender: the connection's.
        enforcer: the connection's, if it has one.
        shutdown: the connection's.
        observer: the connection's, if it has one.
    """

    __slots__ = ("_consumer", "_enforcer", "_mailbox", "_observer", "_receive", "_sender", "_shutdown")

    def __init__(
        self,
        consumer: Consumer,
        receive: Receive,
        mailbox: Mailbox,
        sender: Sender,
        enforcer: Enforcer | None,
        shutdown: Shutdown,
        observer: ConnectionObserver | None,
    ) -> None:
        self._consumer = consumer
        self._receive = receive
        self._mailbox = mailbox
        self._sender = sender
        self._enforcer = enforcer
        self._shutdown = shutdown
        self._observer = observer

    def release(self) -> None:
        """Let go of the consumer; what refers to this may live on."""
        del self._consumer

    async def read(self) -> None:
        """Read until the client disconnects, or is to be read no more; then wait for the worker's end."""
        try:
            message = await self._read()
            if message is not None:
                self._on_disconnect(message)
                self._mailbox.notify_now()  # most connections end within
                await self._shutdown.wait()  # here, so that a cancellation is seen while the worker drains
        except Exception as error:
            self._shutdown.begin(close_codes.UNREADABLE, error)
        except BaseException:
            self._shutdown.begin(close_codes.by_cancellation(self._sender.close_code))
            raise

    async def _read(self) -> Message | None:
        """Return the event that says that the client has gone; None if it is to be read no more."""
        receive, mailbox, enforcer, observer = self._receive, self._mailbox, self._enforcer, self._observer
        takes_early = self._consumer._takes_early
        while (message := await receive()).get("type") not in events.DISCONNECTS:
            if observer is not None and message.get("type") in events.FROM_CLIENT:
                observer.received("client")
            if enforcer is not None and self._shutdown.request is None and enforcer.refuses(message):
                if observer is not None:
                    observer.dropped("limit")
                return None
            if takes_early is not None and takes_early(message):
                del message  # an idle connection is not to keep it
                continue
            if not mailbox.put(message) and not await self._wait_for_room():
                return None
            del message  # as above
        return message

    async def _wait_for_room(self) -> bool:
        """Wait until more may be read; return False if it is never to be."""
        if self._shutdown.request is not None:
            return False
        if self._enforcer is not None:
            self._enforcer.pause()
        with anyio.move_on_after(self._consumer.stall_timeout):
            await self._mailbox.wait_for_room()
            if self._enforcer is not None:
                self._enforcer.resume()
            return True
        limit = f"no message was taken for {self._consumer.stall_timeout} s while {len(self._mailbox.messages)} wait"
        hit = LimitHit(CloseCode.TRY_AGAIN_LATER, limit, "the server is busy with your earlier messages")
        self._shutdown.begin_by_limit(hit)
        return False

    def _on_disconnect(self, message: Message) -> None:
        reported = close_codes.reported(message)
        own = self._sender.lost(reported)
        code = reported if self._consumer._codes_as_reported else own
        self._shutdown.begin(close_codes.by_client(code, reported, message.get("reason")))


class ChannelReader(Reader):
    """Puts the messages of a named channel, which are a layer's, into the mailbox of its consumer.

    Args:
        consumer, receive, mailbox, sender, enforcer, shutdown, observer: as of `Reader`.
        taken: what the worker of the channel has given, if it asks how much is wanted.
    """

    __slots__ = ("_taken",)

    def __init__(
        self,
        consumer: Consumer,
        receive: Receive,
        mailbox: Mailbox,
        sender: Sender,
        enforcer: Enforcer | None,
        shutdown: Shutdown,
        observer: ConnectionObserver | None,
        taken: Taken | None,
    ) -> None:
        super().__init__(consumer, receive, mailbox, sender, enforcer, shutdown, observer)
        self._taken = taken

    async def _read(self) -> Message:
        while (message := await self._receive()).get("type") not in events.DISCONNECTS:
            if self._observer is not None:
                self._observer.received("layer")
            if self._taken is not None:
                self._taken.add(message)
                self._mailbox.put_anyhow(message)  # a handler was free
                del message  # an idle channel is not to keep it
                continue
            while not self._mailbox.put_layer(message):
                await self._mailbox.wait_for_layer_room()
            del message
            await self._mailbox.wait_for_layer_room()  # what there is no room for stays in the layer
        return message
