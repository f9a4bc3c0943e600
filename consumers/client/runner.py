"""The tasks of a client. What is decided without I/O is in `rules`, `progress`, `outbox`, `inbox` and `heartbeat`.

run ──▶ connect ──▶ serve: one task reads, one writes ──▶ lost ──▶ wait ──▶ connect …
"""

import inspect
import logging
from typing import Any

import anyio
from anyio.abc import TaskGroup

from . import rules
from .errors import Closed, Refused
from .heartbeat import Heartbeat
from .inbox import Inbox, Item
from .messages import parsed, place_of, type_of
from .options import Options
from .outbox import Outbox
from .progress import Progress
from .rules import Detail, State
from .socket import NotOpened, Socket, open_socket
from .timers import Timers

STABLE = 5.0
"""Seconds after which a connection has worked."""

LONGEST_RECOVERY = 5.0
"""Seconds. A message that this client does not get may have been a group's newest."""

OPEN_TIMEOUT = 10.0
"""Seconds that a token, a connection and its handshake may take."""

FLUSH_TIMEOUT = 2.0
"""Seconds in which what is still to be sent goes out at the end."""

WHILE_ASKING = 4
"""While a request waits, so many times the limit may wait in the inbox: the answer is behind what has not been read."""

logger = logging.getLogger("consumers.client")


class Runner:
    """Keeps a client connected, until it is closed for good.

    Args:
        url: the consumer's address.
        options: complete ones.

    Attributes:
        state: one of `State`.
        detail: what is known of why.
        closed: the error of whoever still wants something; None until the state is "closed".
        outbox: what is to be sent.
        inbox: what has come.
        timers: on the client's clock.
        changed: set when the state is another one, and replaced.
    """

    def __init__(self, url: str, options: Options) -> None:
        self._url = rules.checked_url(url)
        self._name = rules.name_of(self._url)
        self._key = rules.new_key()
        self._options = options
        self._progress = Progress(options["since"])
        self.state: State = "connecting"
        self.detail = Detail()
        self.closed: Closed | None = None
        self.outbox = Outbox(options["queue_limit"])
        self.inbox = Inbox(options["inbox_limit"])
        self.timers = Timers(options["clock"])
        self.changed = anyio.Event()
        self._heartbeat = Heartbeat(self.timers, options["heartbeat"], self.outbox.ping, self._give_up)
        self._attempt = 0  # connections that have failed since one worked
        self._token_was_refused = False
        self._running: anyio.CancelScope | None = None
        self._serving: anyio.CancelScope | None = None
        self._is_spoken = False  # the protocol, by the present connection's consumer
        self._loss = Detail()  # why the present connection ends
        self._closing: Detail | None = None  # what `close()` was given

    async def run(self, tasks: TaskGroup) -> None:
        """Connect, again and again.

        Args:
            tasks: where callbacks run that may take their time.
        """
        self._tasks = tasks
        try:
            with anyio.CancelScope() as self._running:
                self._tell_state()
                while self.closed is None and self._closing is None:
                    loss = await self._connection()
                    retry_in = self._retry_after(loss)
                    if retry_in is None:
                        self._end(loss._replace(retry_in=None))
                        return
                    waiting = anyio.Event()
                    self.timers.set(retry_in, waiting.set)
                    self._set_state("offline", loss._replace(retry_in=retry_in))
                    await waiting.wait()
        finally:
            if self.closed is None:
                self._end(self._closing or Detail(rules.NORMAL, "the block was left"))

    async def close(self, code: int, reason: str) -> None:
        """Send what can be sent, and close for good."""
        if self.state != "offline":
            with anyio.move_on_after(FLUSH_TIMEOUT):
                await self.outbox.sent()
        if self._closing is None:
            self._closing = Detail(code, reason)
        if self._running is not None:
            self._running.cancel()
        while self.closed is None:
            await self.changed.wait()

    async def wait_open(self) -> None:
        """Wait until the state is "open".

        Raises:
            Closed: it will not be.
        """
        while self.state != "open":
            if self.closed is not None:
                raise self.closed
            await self.changed.wait()

    # One connection

    async def _connection(self) -> Detail:
        """Connect once, and return why that has ended."""
        self._set_state("connecting", Detail())
        socket: Socket | None = None
        with self.timers.timeout(OPEN_TIMEOUT):
            try:
                socket = await self._open()
            except NotOpened as error:
                told = rules.retry_after(error.retry_after, self._options["chance"])
                return Detail(error.status, str(error), told)
        if socket is None:
            return Detail(0, f"no connection within {OPEN_TIMEOUT:g} s")
        self._loss, opened_at = Detail(), self.timers.now()
        try:
            await self._serve(socket)
        finally:
            if self._closing is not None:
                await socket.close(self._closing.code, self._closing.reason)
            else:
                await socket.abort()
        if self.timers.now() - opened_at >= STABLE:
            self._attempt = 0
            self._token_was_refused = False
        return self._loss

    async def _open(self) -> Socket:
        options, token = self._options, await self._token()
        self._progress.connect()
        return await open_socket(
            rules.address(self._url, self._key, self._progress.positions),
            rules.subprotocols(token),
            options["headers"],
            options["connect"],
            options["ssl_context"],
            options["max_size"],
            self._heartbeat.heard,
        )

    async def _token(self) -> str | None:
        token = self._options["token"]
        if not callable(token):
            return token
        try:
            given = token()
            return await given if inspect.isawaitable(given) else given
        except Exception as error:
            logger.warning("There is no token for %s", self._name, exc_info=True)
            raise NotOpened(f"no token: {error!r}") from error

    async def _serve(self, socket: Socket) -> None:
        """Read and write until the connection ends, or is given up."""
        async with anyio.create_task_group() as tasks:
            self._serving = tasks.cancel_scope
            recovery = self.timers.set(LONGEST_RECOVERY, self._recovered)
            self.outbox.connected()
            self._is_spoken = self._heartbeat.is_answered = socket.speaks_protocol
            self._heartbeat.start()
            try:
                self._set_state("open" if self._progress.is_recovered else "recovering", Detail())
                tasks.start_soon(self.outbox.run, socket.send)
                await self._read(socket)
            finally:
                recovery.cancel()
                self._heartbeat.stop()
                self.outbox.disconnected()
                self._serving = None
            tasks.cancel_scope.cancel()

    async def _read(self, socket: Socket) -> None:
        while True:
            if not self._may_read():
                self._heartbeat.stop()  # the silence is this side's
                while not self._may_read():
                    await self.inbox.changed.wait()
                self._heartbeat.start()
            text = await socket.receive()
            if text is None:
                self._loss = Detail(socket.code, socket.reason)
                return
            self._received(text)

    def _may_read(self) -> bool:
        return self.inbox.has_room(WHILE_ASKING if self.outbox.awaits_answers else 1)

    # What comes

    def _received(self, text: str) -> None:
        message = parsed(text)
        try:
            if message is None:
                raise ValueError("no object")
            self._take(message, len(text))
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("%s has sent what is no message (%r): %.80r", self._name, error, text)
        if self._progress.is_recovered:
            self._recovered()

    def _take(self, message: dict[str, Any], size: int) -> None:
        kind, progress = type_of(message), self._progress
        is_own = self._is_spoken and kind in rules.PROTOCOLS_OWN
        place = place_of(message) if self._is_spoken and not is_own else None
        may_answer = place is None and (not is_own or kind in rules.ANSWERS)
        if may_answer and self.outbox.settle(message):
            return
        if not is_own:
            label, position = place or (None, None)
            if place is not None:
                progress.arrived(*place)
            self.inbox.put(Item(message, label, position, size=size))
        elif kind in ("joined", "gap"):
            label = message["label"]
            if not isinstance(label, str):
                raise TypeError("the label is no text")
            is_gap = kind == "gap" or progress.joined(message)
            self.inbox.put(Item(None, label, progress.positions.get(label), is_gap))
        elif kind == "expires":
            self._tasks.start_soon(self._tell_expiry, float(message["in"]))
        elif kind == "error":
            logger.warning("%s refuses a message: %s", self._name, Refused.by(message))

    def _recovered(self) -> None:
        if self.state == "recovering":
            self._set_state("open", Detail())

    async def _tell_expiry(self, seconds: float) -> None:
        on_expires = self._options["on_expires"]
        if on_expires is not None and inspect.isawaitable(told := on_expires(seconds)):
            await told

    # Losing a connection

    def _give_up(self, reason: str) -> None:
        """Let go of a connection that does not work."""
        if self._serving is not None:
            self._loss = Detail(0, reason)
            self._serving.cancel()

    def _retry_after(self, loss: Detail) -> float | None:
        """Return the seconds until the next attempt; None: there is none."""
        code, reason, retry = loss.code, loss.reason, self._options["retry"]
        is_refused = code in rules.UNAUTHENTICATED and callable(self._options["token"])
        if (is_refused or code == rules.TOKEN_EXPIRED) and not self._token_was_refused:
            self._token_was_refused = True
        else:
            decided = None if retry is None else retry(code, reason)
            if rules.is_final(code) if decided is None else not decided:
                return None
        chance = self._options["chance"]
        hint = rules.hinted(reason, chance) if code >= rules.FIRST_CLOSE_CODE else loss.retry_in
        if hint is not None:
            return hint
        self._attempt += 1
        return rules.backoff(self._attempt - 1, chance)

    def _end(self, loss: Detail) -> None:
        text = f"{self._name} is closed for good: {loss.code} {loss.reason}".rstrip()
        self.closed = Closed(text, loss.code, loss.reason)
        self.outbox.close(self.closed)
        is_wanted = self._closing is not None or loss.code == rules.NORMAL
        self.inbox.end(None if is_wanted else self.closed)
        self._set_state("closed", loss)

    def _set_state(self, state: State, detail: Detail) -> None:
        if state == self.state:
            return
        self.state, self.detail = state, detail
        if state == "offline":
            level = logging.WARNING if self._attempt <= 1 else logging.DEBUG  # once for each time without a connection
            text = "%s is offline (%s %s), another attempt follows in %.1f s"
            logger.log(level, text, self._name, detail.code, detail.reason, detail.retry_in)
        changed, self.changed = self.changed, anyio.Event()
        changed.set()
        self._tell_state()

    def _tell_state(self) -> None:
        on_state = self._options["on_state"]
        if on_state is not None:
            on_state(self.state, self.detail)
