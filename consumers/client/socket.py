"""A WebSocket of a client: websockets' protocol, which does no I/O, over a stream of anyio's.

So it is the same on asyncio and on trio, with every version of websockets that has the protocol.
"""

import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSStream
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from .options import Connect
from .rules import PROTOCOL

CLOSE_TIMEOUT = 2.0
"""Seconds that a close may take until the server confirms it."""

LAST_WORD = 0.1
"""Seconds in which the kernel takes a close frame that nobody waits for, if it takes it at all."""

ABNORMAL = 1006
GOING_AWAY = 1001
INVALID_DATA = 1007
MOST_BODY = 200  # characters of a refusal that an error repeats
AGENT = "starlette-consumers"

BROKEN = (
    anyio.EndOfStream,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
    OSError,
)  # ssl.SSLError is an OSError


class NotOpened(Exception):
    """There is no WebSocket.

    Attributes:
        status: the HTTP status of the server's answer; 0 if it has given none.
        retry_after: what the server says of when to try again; None if it says nothing.
    """

    def __init__(self, text: str, status: int = 0, retry_after: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.retry_after = retry_after


async def open_socket(
    url: str,
    subprotocols: Sequence[str],
    headers: Mapping[str, str],
    connect: Connect,
    ssl_context: ssl.SSLContext | None,
    max_size: int,
    heard: Callable[[], object],
) -> "Socket":
    """Connect, and make the handshake.

    Raises:
        NotOpened: that did not work.
    """
    uri = parse_uri(url)
    try:
        stream = await connect(uri.host, uri.port)
    except (OSError, anyio.BrokenResourceError) as error:
        raise NotOpened(f"no connection: {error}") from error
    try:
        if uri.secure:
            stream = await TLSStream.wrap(stream, hostname=uri.host, ssl_context=ssl_context, standard_compatible=False)
        offered = [Subprotocol(each) for each in subprotocols]
        socket = Socket(stream, ClientProtocol(uri, subprotocols=offered, max_size=max_size), heard)
        await socket.open({"User-Agent": AGENT, **headers})
    except BROKEN as error:
        await anyio.aclose_forcefully(stream)
        raise NotOpened(f"no connection: {error or type(error).__name__}") from error
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    return socket


class Socket:
    """A WebSocket. One task may receive; any may send.

    Args:
        stream: what it runs over.
        protocol: websockets' side of it.
        heard: called when something has come, be it a ping.
    """

    def __init__(self, stream: ByteStream, protocol: ClientProtocol, heard: Callable[[], object]) -> None:
        self._stream = stream
        self._protocol = protocol
        self._sending = anyio.Lock()
        self._heard = heard
        self._texts: deque[str] = deque()
        self._parts: list[bytes] = []
        self._is_text = False
        self._has_ended = False
        self._is_cut = False  # a frame was perhaps sent in part: nothing can follow

    @property
    def speaks_protocol(self) -> bool:
        """Whether the server has chosen the protocol, once it is open."""
        return self._protocol.subprotocol == PROTOCOL

    @property
    def code(self) -> int:
        """The close code, once nothing more comes."""
        close = self._protocol.close_rcvd or self._protocol.close_sent
        return ABNORMAL if close is None else int(close.code)

    @property
    def reason(self) -> str:
        """The close's reason, once nothing more comes."""
        close = self._protocol.close_rcvd or self._protocol.close_sent
        return "the connection broke" if close is None else close.reason

    async def open(self, headers: Mapping[str, str]) -> None:
        """Make the handshake.

        Raises:
            NotOpened: the server refuses it, or does not speak WebSocket.
        """
        request = self._protocol.connect()
        for name, value in headers.items():
            if name in request.headers:
                del request.headers[name]
            request.headers[name] = value
        self._protocol.send_request(request)
        await self._flush()
        while self._protocol.state is State.CONNECTING and self._protocol.handshake_exc is None:
            await self._fill()
        error = self._protocol.handshake_exc
        if isinstance(error, InvalidStatus):
            response = error.response
            body = (response.body or b"").decode(errors="replace")[:MOST_BODY]
            to = f" to {response.headers['Location']}" if "Location" in response.headers else ""
            text = f"HTTP {response.status_code} {response.reason_phrase}{to}{body and f': {body}'}"
            retry_after = next(iter(response.headers.get_all("Retry-After")), None)
            raise NotOpened(f"the server refuses the handshake with {text}", response.status_code, retry_after)
        if self._has_ended:
            raise NotOpened("the connection broke during the handshake")
        if isinstance(error, InvalidHandshake):
            raise NotOpened(f"the server's answer to the handshake is invalid: {error}")
        if error is not None:
            raise NotOpened(f"the server does not speak WebSocket: {error}")

    async def receive(self) -> str | None:
        """Return the next text; None if no more come."""
        while not self._texts:
            if self._has_ended or self._protocol.state is not State.OPEN:
                return None
            await self._fill()
        return self._texts.popleft()

    async def send(self, text: bytes) -> None:
        """Send a text, in UTF-8. If the connection breaks over it, `receive()` finds out."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_text(text)
            await self._flush()

    async def close(self, code: int, reason: str) -> None:
        """Close, and wait until the server has confirmed it, for a while."""
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(code, reason)
                await self._flush()
            while not self._has_ended and self._protocol.close_rcvd is None:
                await self._fill()
        await self.abort()

    async def abort(self) -> None:
        """Let go of the connection at once."""
        if self._protocol.state is State.OPEN and not self._is_cut:
            self._protocol.send_close(GOING_AWAY)
            with anyio.move_on_after(LAST_WORD, shield=True):
                await self._flush()
        await anyio.aclose_forcefully(self._stream)

    async def _fill(self) -> None:
        """Take what comes next."""
        try:
            data = await self._stream.receive()
        except BROKEN:
            self._has_ended = True
            self._protocol.receive_eof()
        else:
            self._heard()
            self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take(event)
        if not self._sending.locked():  # else whoever sends does that; a server that does not read must be read from
            await self._flush()  # pongs, the answer to a close, and the complaint about what is no WebSocket

    def _take(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        if frame.opcode is not Opcode.CONT:
            self._is_text = frame.opcode is Opcode.TEXT
        self._parts.append(bytes(frame.data))
        if not frame.fin:
            return
        data, self._parts = b"".join(self._parts), []
        if not self._is_text:
            return
        try:
            self._texts.append(data.decode())
        except UnicodeDecodeError:
            self._protocol.fail(INVALID_DATA, "a text is not UTF-8")

    async def _flush(self) -> None:
        async with self._sending:
            while (data := b"".join(self._protocol.data_to_send())) and not self._is_cut:
                self._is_cut = True
                try:
                    await self._stream.send(data)
                except BROKEN:
                    return
                self._is_cut = False
