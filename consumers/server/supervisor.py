"""Several processes that serve one port, and whoever starts, replaces and ends them.

A worker:  STARTING ──▶ SERVING ──▶ LEAVING ──▶ (ended)

SIGTERM, SIGINT    all leave; a second one: all end at once
SIGHUP             each is replaced, one after the other: the new one serves before the old one leaves
a worker ends      another one takes its place, unless none of them could start; later, if it has not lived long

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

from .settings import STARTUP_FAILURE, ShutdownOptions
from .socket_file import SocketFile, remove_stale
from .uvicorn_server import FORCED
from .worker import END, LEAVE, work

logger = logging.getLogger("consumers.server")

SPAWN = multiprocessing.get_context("spawn")

RETRY = 1.0
"""Seconds that a process has to serve, or another one is started in its place so much later."""

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
        options: how it ends.
        listener: what it listens on.

    Attributes:
        state: how far it is.
        since: since when it starts, or serves, by `time.monotonic()`.
        killed_at: when it is killed, once it leaves.
    """

    _is_deaf = False  # it was to leave before it served, and may never hear an order

    def __init__(self, settings: dict[str, Any], options: ShutdownOptions, listener: socket.socket) -> None:
        self.state = State.STARTING
        self.killed_at: float | None = None
        self._grace = options.grace
        self.pipe, theirs = SPAWN.Pipe()
        self.process = SPAWN.Process(target=work, args=(settings, options, [listener], theirs))
        self.process.start()
        self.since = time.monotonic()
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
        self.state, self.since = State.SERVING, time.monotonic()
        return True

    def leave(self) -> None:
        """Have it drain, and end."""
        if self.state is State.LEAVING:
            return
        if self.state is State.STARTING:  # it has nobody to send away
            self._is_deaf = True
            self.process.terminate()
        else:
            self._say(LEAVE)
        self.state = State.LEAVING
        self.killed_at = time.monotonic() + self._grace + LATENESS

    def end(self) -> None:
        """Have it end at once."""
        if self._is_deaf:
            self.process.terminate()  # for the second time
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
        options: how they end.
    """

    def __init__(self, config: uvicorn.Config, settings: dict[str, Any], options: ShutdownOptions) -> None:
        self._config = config
        self._settings = {**settings, "workers": config.workers}
        self._options = options
        self._workers: list[Worker] = []
        self._signals: deque[int] = deque()
        self._is_ending = False
        self._status = 0
        self._start_at = 0.0  # when a worker may be started in the place of another, by `time.monotonic()`
        self._old: deque[Worker] = deque()  # those that are to be replaced
        self._new: Worker | None = None  # what is to take the place of the first of them
        self._leaving: Worker | None = None  # the one that has been replaced
        self._socket_file: SocketFile | None = None

    def run(self) -> int:
        """Serve until a signal; return the exit status, 0.

        Raises:
            SystemExit: with status 3: there is nothing to listen on, or no worker could start.
        """
        with self._listening() as self._listener, self._noting_signals() as self._waker:
            self._go_on()
            while self._workers or not self._is_ending:
                self._wait()
                while self._signals:
                    self._on_signal(self._signals.popleft())
                for worker in list(self._workers):
                    self._look_at(worker)
                self._go_on()
        if self._status:
            raise SystemExit(self._status)
        return 0

    # What happens

    @contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        path = self._config.uds
        if path is not None:
            remove_stale(path)
        try:
            listener = self._config.bind_socket()
        except OSError as error:  # uvicorn itself expects it of all but file descriptors
            logger.error("cannot listen on file descriptor %s: %s", self._config.fd, error)
            raise SystemExit(STARTUP_FAILURE) from None
        except SystemExit:
            raise SystemExit(STARTUP_FAILURE) from None  # uvicorn's own differs between its versions
        with listener:
            if path is not None:
                self._socket_file = SocketFile(path)
            try:
                yield listener
            finally:
                self._remove_socket_file()

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
        times = [worker.killed_at for worker in self._workers]
        if self._count_missing():
            times.append(self._start_at)
        first = min((at for at in times if at is not None), default=None)
        timeout = None if first is None else max(0.0, first - time.monotonic())
        pipes = [worker.pipe for worker in self._workers if worker.state is State.STARTING]
        connection.wait([self._waker, *pipes, *(worker.process.sentinel for worker in self._workers)], timeout)
        with suppress(BlockingIOError):
            self._waker.recv(4096)

    def _on_signal(self, number: int) -> None:
        logger.info("%s: %s", signal.Signals(number).name, "replacing" if number == REPLACING else "ending")
        if number == REPLACING:
            if not self._is_ending:  # what is new already may have been made of code that is old by now
                there = [worker for worker in self._workers if worker.state is not State.LEAVING]
                self._old.extend(worker for worker in there if worker not in self._old)
        elif self._is_ending:
            for worker in self._workers:
                worker.end()
        else:
            self._end()

    def _end(self, status: int = 0) -> None:
        """Have all leave."""
        self._is_ending, self._status = True, status
        self._old.clear()
        self._listener.close()  # or clients would wait in its queue
        self._remove_socket_file()
        for worker in self._workers:
            worker.leave()

    def _look_at(self, worker: Worker) -> None:
        if worker.hear() and self._is_ending:
            worker.leave()
        elif not worker.process.is_alive():
            self._on_ended(worker)
        elif worker.killed_at is not None and worker.killed_at < time.monotonic():
            logger.error("%s has not ended within %g s, and is killed", worker.name, self._options.grace)
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
            self._start_at = max(self._start_at, worker.since + RETRY)
        elif worker is self._new:
            logger.error("%s could not start (status %s): the others go on as they are", worker.name, status)
            self._old.clear()
            self._new = None
        else:
            logger.error("%s could not start (status %s)", worker.name, status)
            self._start_at = time.monotonic() + RETRY
            if not any(other.state is not State.LEAVING for other in self._workers):
                self._end(STARTUP_FAILURE)
        if worker in self._old:
            self._old.remove(worker)
            self._new = None  # what was to take its place has done so

    # What is to be done

    def _start(self) -> Worker:
        worker = Worker(self._settings, self._options, self._listener)
        self._workers.append(worker)
        return worker

    def _count_missing(self) -> int:
        """Return how many workers are to be started now, or when their time has come."""
        states = [worker.state for worker in self._workers if worker is not self._new]
        if self._is_ending or (State.STARTING in states and State.SERVING not in states):  # can any of them start?
            return 0
        return self._config.workers - len(states) + states.count(State.LEAVING)

    def _go_on(self) -> None:
        """Do what it is time for."""
        if self._start_at <= time.monotonic():
            for _ in range(self._count_missing()):
                self._start()
        if self._leaving in self._workers:
            return
        self._leaving = None
        if self._new is None:
            if self._old:
                self._new = self._start()
        elif self._new.state is not State.STARTING:
            self._new = None
            self._leaving = self._old.popleft() if self._old else None
            if self._leaving is not None:
                logger.info("%s is replaced", self._leaving.name)
                self._leaving.leave()

    def _remove_socket_file(self) -> None:
        if self._socket_file is not None:
            self._socket_file.remove()
