"""Several processes that serve one port, and whoever starts, replaces and ends them.

A worker:  STARTING ──▶ SERVING ──▶ LEAVING ──▶ (ended)

SIGTERM, SIGINT    all leave; a second one: all end at once
SIGHUP             each is replaced, one after the other: the new one serves before the old one leaves
a worker ends      another one takes its place, unless none of them could start

The workers share one listening socket. What comes while one of them leaves, the others accept.
"""

import enum
import logging
import multiprocessing
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import connection
from types import FrameType
from typing import Any

import uvicorn

from .process import FORCED
from .serving import STARTUP_FAILURE, Pace
from .worker import END, LEAVE, work

logger = logging.getLogger("consumers.server")

SPAWN = multiprocessing.get_context("spawn")

RETRY = 1.0
"""Seconds until another process is started in the place of one that could not start."""

LATENESS = 5.0
"""Seconds, beyond the grace time, that a process may take to end: then it is killed."""

ENDING = (signal.SIGINT, signal.SIGTERM)
REPLACING = getattr(signal, "SIGHUP", None)


class State(enum.Enum):
    """How far a worker is."""

    STARTING = "starting"
    SERVING = "serving"
    LEAVING = "leaving"


class Worker:
    """One process.

    Args:
        settings: uvicorn's.
        pace: how it ends.
        listener: what it listens on.

    Attributes:
        state: how far it is.
        killed_at: when it is killed, by `time.monotonic()`, once it leaves.
    """

    def __init__(self, settings: dict[str, Any], pace: Pace, listener: socket.socket) -> None:
        self.state = State.STARTING
        self.killed_at: float | None = None
        self._grace = pace.grace
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=work, args=(settings, pace, [listener], theirs))
        self.process.start()
        theirs.close()

    @property
    def name(self) -> str:
        """How the log calls it."""
        return f"process {self.process.pid}"

    def hear(self) -> bool:
        """Note that it serves, if it has just said so; tell whether it has."""
        try:
            if self.state is not State.STARTING or not self.pipe.poll():
                return False
            self.pipe.recv()
        except (EOFError, OSError):
            return False
        self.state = State.SERVING
        return True

    def leave(self) -> None:
        """Have it drain, and end."""
        if self.state is State.LEAVING:
            return
        if self.state is State.STARTING:  # it hears nothing yet, and has nobody to send away
            self.process.terminate()
        else:
            self._say(LEAVE)
        self.state = State.LEAVING
        self.killed_at = time.monotonic() + self._grace + LATENESS

    def end(self) -> None:
        """Have it end at once."""
        self._say(END)
        self.killed_at = time.monotonic() + FORCED + LATENESS

    def _say(self, order: str) -> None:
        with suppress(OSError):  # it has ended
            self.pipe.send(order)


class Supervisor:
    """Runs the workers.

    Args:
        config: uvicorn's, for the listener and the number of workers.
        settings: uvicorn's, for the workers.
        pace: how they end.
    """

    def __init__(self, config: uvicorn.Config, settings: dict[str, Any], pace: Pace) -> None:
        self._config = config
        self._settings = {**settings, "workers": config.workers}
        self._pace = pace
        self._workers: list[Worker] = []
        self._signals: deque[int] = deque()
        self._is_ending = False
        self._status = 0
        self._start_at: float | None = None  # when a worker is to be started in the place of one that could not start
        self._old: deque[Worker] = deque()  # those that are to be replaced
        self._new: Worker | None = None  # what is to take the place of the first of them
        self._leaving: Worker | None = None  # the one that has been replaced

    def run(self) -> int:
        """Serve until a signal; return the exit status: 3 if no worker could start."""
        self._listener = self._config.bind_socket()
        with self._noting_signals() as self._waker, self._listener:
            for _ in range(self._config.workers):
                self._start()
            while self._workers or self._start_at is not None:
                self._wait()
                while self._signals:
                    self._on_signal(self._signals.popleft())
                for worker in list(self._workers):
                    self._look_at(worker)
                self._go_on()
        return self._status

    # What happens

    @contextmanager
    def _noting_signals(self) -> Iterator[socket.socket]:
        """Note signals as they come, and wake who waits for the socket."""
        noted = [*ENDING, *([REPLACING] if REPLACING is not None else [])]
        reader, writer = socket.socketpair()
        with reader, writer:
            reader.setblocking(False)
            writer.setblocking(False)
            before = {number: signal.signal(number, self._note) for number in noted}
            waker = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            try:
                yield reader
            finally:
                signal.set_wakeup_fd(waker)
                for number, handler in before.items():
                    signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._signals.append(number)

    def _wait(self) -> None:
        """Wait until something happens, or it is time for something."""
        times = [self._start_at, *(worker.killed_at for worker in self._workers)]
        first = min((at for at in times if at is not None), default=None)
        timeout = None if first is None else max(0.0, first - time.monotonic())
        pipes = [worker.pipe for worker in self._workers if worker.state is State.STARTING]
        connection.wait([self._waker, *pipes, *(worker.process.sentinel for worker in self._workers)], timeout)
        with suppress(BlockingIOError):
            self._waker.recv(4096)

    def _on_signal(self, number: int) -> None:
        logger.info("%s: %s", signal.Signals(number).name, "replacing" if number == REPLACING else "ending")
        if number == REPLACING:
            if not (self._is_ending or self._old or self._new):
                self._old.extend(worker for worker in self._workers if worker.state is State.SERVING)
        elif self._is_ending:
            for worker in self._workers:
                worker.end()
        else:
            self._end()

    def _end(self, status: int = 0) -> None:
        """Have all leave."""
        self._is_ending, self._status, self._start_at = True, status, None
        self._old.clear()
        self._listener.close()  # or clients would wait in its queue
        for worker in self._workers:
            worker.leave()

    def _look_at(self, worker: Worker) -> None:
        if worker.hear() and self._is_ending:
            worker.leave()
        elif not worker.process.is_alive():
            self._on_ended(worker)
        elif worker.killed_at is not None and worker.killed_at < time.monotonic():
            logger.error("%s has not ended within %g s, and is killed", worker.name, self._pace.grace)
            worker.killed_at = None
            worker.process.kill()

    def _on_ended(self, worker: Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        if self._is_ending or worker.state is State.LEAVING:
            return
        status = worker.process.exitcode
        if worker.state is State.SERVING:
            level = logging.ERROR if status else logging.INFO  # 0 is that of `limit_max_requests`
            logger.log(level, "%s has ended with status %s: another takes its place", worker.name, status)
            self._start()
        elif worker is self._new:
            logger.error("%s could not start (status %s): the others go on as they are", worker.name, status)
            self._old.clear()
            self._new = None
        elif any(other.state is State.SERVING for other in self._workers):
            logger.error("%s could not start (status %s): once more in %g s", worker.name, status, RETRY)
            self._start_at = time.monotonic() + RETRY
        else:
            logger.error("%s could not start (status %s)", worker.name, status)
            self._end(STARTUP_FAILURE)

    # What is to be done

    def _start(self) -> Worker:
        worker = Worker(self._settings, self._pace, self._listener)
        self._workers.append(worker)
        return worker

    def _go_on(self) -> None:
        """Do what it is time for."""
        if self._start_at is not None and self._start_at <= time.monotonic():
            self._start_at = None
            self._start()
        if self._leaving in self._workers:
            return
        self._leaving = None
        if self._new is None:
            while self._old and self._old[0].state is not State.SERVING:
                self._old.popleft()
            if self._old:
                self._new = self._start()
        elif self._new.state is not State.STARTING:
            self._new = None
            self._leaving = self._old.popleft() if self._old else None
            if self._leaving is not None:
                logger.info("%s is replaced", self._leaving.name)
                self._leaving.leave()
