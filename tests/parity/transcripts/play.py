"""Plays a script into an application and writes down, in order, what it sends, what its handlers see and how it ends.

The driver speaks ASGI and nothing else; it knows no library.
"""

import asyncio

from asgiref.sync import sync_to_async

ROUNDS = 8
TURNS = 25
"""How often `settle()` visits the thread, and how many turns the event loop has for each visit.

Nothing here waits for a time: handlers use the loop, and the one thread for thread-sensitive code, which works in order
of arrival. One visit lets at least one waiting message go all its way; no script lets more than half as many wait.
"""


class Play:
    """One script, played into one application.

    Args:
        send_fails_from: the number of the event, counted from 0, from which on the server's `send` raises OSError.
    """

    def __init__(self, send_fails_from=None):
        self.lines = []
        self._is_open = True
        self._events = asyncio.Queue()
        self._gates = {}
        self._held = 0
        self._sent = 0
        self._send_fails_from = send_fails_from
        self._task = None
        self._visits = []

    def note(self, line):
        """Add a line to the transcript."""
        if self._is_open:
            self.lines.append(line)

    async def run(self, application, scope, steps):
        """Call the application, take the steps one after the other, and see how it ends."""
        self._task = asyncio.create_task(application(scope, self._events.get, self._send))
        self._task.add_done_callback(self._note_end)
        await self.settle()
        for step in steps:
            await step(self)
            await self.settle()
        if not self._task.done():
            self.note("runs on")
        self._is_open = False
        self._task.cancel()
        for gate in self._gates.values():
            gate.set()
        await asyncio.wait([self._task, *self._visits])

    def feed(self, event):
        """Let the application receive an event."""
        self._events.put_nowait(event)

    def cancel(self):
        """Cancel the application's task, as a server does that stops."""
        self._task.cancel()

    async def wait(self, gate):
        """Hold a handler until the script opens this gate."""
        event = self._gates.setdefault(gate, asyncio.Event())
        self._held += 1
        try:
            await event.wait()
        finally:
            self._held -= 1

    def open(self, gate):
        """Let a handler go on that waits at this gate."""
        self._gates.setdefault(gate, asyncio.Event()).set()

    async def settle(self):
        """Let the application do all that it can do now."""
        for _ in range(ROUNDS):
            if not self._held:
                await self._visit_the_thread()
            for _ in range(TURNS):
                await asyncio.sleep(0)

    async def _visit_the_thread(self):
        visit = asyncio.ensure_future(sync_to_async(_visit)())
        self._visits.append(visit)
        while not visit.done() and not self._held:  # a sync consumer's handler keeps the thread while it is held
            await asyncio.sleep(0)

    async def _send(self, event):
        number, self._sent = self._sent, self._sent + 1
        if self._send_fails_from is not None and number >= self._send_fails_from:
            self.note(f"cannot send {event['type']}")
            raise OSError("the client has gone")
        self.note(f"sends {in_words(event)}")

    def _note_end(self, task):
        if task.cancelled():
            self.note("is cancelled")
        elif task.exception() is not None:
            self.note(f"raises {type(task.exception()).__name__}")
        else:
            self.note("returns")


def in_words(event):
    """Return an ASGI event as a line, with the ASGI specification's defaults in the place of what is left out."""
    event = {**DEFAULTS.get(event["type"], {}), **event}
    return " ".join([event.pop("type"), *(f"{key}={event[key]!r}" for key in sorted(event))])


DEFAULTS = {
    "websocket.accept": {"subprotocol": None, "headers": []},
    "websocket.close": {"code": 1000, "reason": ""},
    "http.response.start": {"headers": []},
    "http.response.body": {"body": b"", "more_body": False},
}


def _visit():
    pass
