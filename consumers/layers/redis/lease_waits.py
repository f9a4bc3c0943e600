"""What tasks wait for until a process has a lease: events of one owner loop after the other."""

import asyncio


class Waits:
    """The events of one lease. On the owner loop, if nothing else is said.

    Attributes:
        loop: the owner loop that they are of; None: of none.
        wanted: somebody joins or is tracked.
        wake: the next beat is to come now.
        decided: there is a lease, or there cannot be one.
        tried: that, or there is no connection for it yet.
    """

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._is_wanted = False
        self.wanted: asyncio.Event
        self.wake: asyncio.Event
        self.decided: asyncio.Event
        self.tried: asyncio.Event
        self._renew()

    def on_this_loop(self) -> bool:
        """Have events of the running loop; return whether they were another's before."""
        loop = asyncio.get_running_loop()
        if self.loop is loop:
            return False
        self.loop = loop
        self._renew()
        if self._is_wanted:
            self.wanted.set()
        return True

    def begin(self) -> None:
        """Have it be open whether there will be a lease."""
        self.wake.clear()
        if self.decided.is_set():  # who waited for that has been told
            self.decided, self.tried = asyncio.Event(), asyncio.Event()

    def want(self) -> None:
        """Note that a lease is wanted."""
        self._is_wanted = True
        self.wanted.set()

    def decide(self) -> None:
        """Have everybody go on."""
        self.decided.set()
        self.tried.set()

    def undecide(self) -> None:
        """Have them wait again."""
        self.decided.clear()
        self.tried.clear()

    def reopen(self) -> None:
        """Have those wait again that need a lease; the others go on."""
        self.decided.clear()

    def forget(self) -> None:
        """Want no lease, and let go of the loop; from any thread, when nobody keeps the lease."""
        self._is_wanted, self.loop = False, None
        self._renew()

    def _renew(self) -> None:
        self.wanted, self.wake = asyncio.Event(), asyncio.Event()
        self.decided, self.tried = asyncio.Event(), asyncio.Event()
