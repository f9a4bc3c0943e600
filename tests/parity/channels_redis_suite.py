"""Runs channels_redis' own tests, out of its source distribution, on the layers of `compat`.

`python -m tests.parity.channels_redis_suite ARCHIVE` takes their source distribution; `make test-interop` has it.

The tests use the ports 6379 and 26379 and delete what begins with `asgi`. They therefore run in a network namespace of
their own, with servers of their own. Where there can be none, this refuses if somebody listens there.
"""

import fcntl
import shutil
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from ..support.redis_server import running_redis

ROOT = Path(__file__).resolve().parent.parent.parent

REDIS, SENTINEL = 6379, 26379
"""The ports that the tests use."""

TIME_LIMIT = 600
"""Seconds that the tests have."""

NAMESPACES = (["unshare", "--net"], ["unshare", "--map-root-user", "--net"])
"""Commands that run another one in a network namespace of its own: as root, and as anybody."""

SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1

BUFFER = "it looks into the layer's buffer, a dict of queues; here that is a table of other shape"
PER_LOOP = "it looks into what the layer keeps for each event loop; here one loop serves all"

CLIENT = "it closes the client of one of the layer's shards; here a shard has none"

EXCEPTIONS = {
    "test_core.py::test_receive_buffer_respects_capacity": BUFFER,
    "test_sentinel.py::test_receive_buffer_respects_capacity": BUFFER,
    "test_pubsub.py::test_loop_instance_channel_layer_reference": PER_LOOP,
    "test_pubsub.py::test_multi_event_loop_garbage_collection": PER_LOOP,
    "test_pubsub.py::test_auto_reconnect": CLIENT,
    "test_pubsub_sentinel.py::test_loop_instance_channel_layer_reference": PER_LOOP,
    "test_pubsub_sentinel.py::test_multi_event_loop_garbage_collection": PER_LOOP,
    "test_pubsub_sentinel.py::test_auto_reconnect": CLIENT,
}
"""Tests that fail here, and why: each asks for something private of channels_redis."""


def main(arguments: Sequence[str]) -> int:
    """Run the tests; return 0 if all passed but the exceptions, and those failed."""
    archive = str(Path(arguments[-1]).resolve())
    if arguments[0] == "--inside":
        lift_loopback()
        return run(archive)
    for namespace in NAMESPACES:
        if can_run(namespace):
            print(f"== channels_redis' own tests, by {' '.join(namespace)}", flush=True)
            command = [*namespace, sys.executable, "-m", "tests.parity.channels_redis_suite", "--inside", archive]
            return subprocess.run(command, cwd=ROOT, check=False).returncode
    for port in (REDIS, SENTINEL):
        if is_used(port):
            print(
                f"Something listens on port {port}, where channels_redis' tests would delete what begins with 'asgi', "
                "and no network namespace can be made for them: end it, or run this as root"
            )
            return 1
    print("== channels_redis' own tests, without a network namespace", flush=True)
    return run(archive)


def can_run(namespace: Sequence[str]) -> bool:
    """Tell whether a command of `NAMESPACES` works here."""
    if shutil.which(namespace[0]) is None:
        return False
    return subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0


def is_used(port: int) -> bool:
    """Tell whether something listens on a port of this machine."""
    for host in ("127.0.0.1", "::1"):
        try:
            with socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            continue
    return False


def lift_loopback() -> None:
    """Do `ip link set lo up`, where there may be no `ip`; a new network namespace has it down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        name = b"lo".ljust(16, b"\0")
        request = fcntl.ioctl(any_socket, SIOCGIFFLAGS, name + bytes(16))
        (flags,) = struct.unpack_from("h", request, 16)
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, name + struct.pack("h", flags | IFF_UP) + bytes(14))


def run(archive: str) -> int:
    """Run the tests on servers of their own, and print what is wrong."""
    with tempfile.TemporaryDirectory(prefix="channels_redis-") as name:
        directory = Path(name)
        unpack(archive, directory)
        report = directory / "report.xml"
        with servers():
            command = [sys.executable, "-m", "pytest", "-q", "-p", "compat.pytest", "-p", "no:cacheprovider"]
            command += ["-c", "pytest.ini", f"--junit-xml={report}", "tests"]
            try:
                status = subprocess.run(
                    command, cwd=directory, timeout=TIME_LIMIT, capture_output=True, text=True, check=False
                )
            except subprocess.TimeoutExpired as error:
                print(error.stdout, f"Ended after {TIME_LIMIT} s", sep="\n")
                return 1
        outcomes = read(report) if report.exists() else {}
    wrong = complaints(outcomes, EXCEPTIONS)
    if wrong:
        print(status.stdout, status.stderr)
    passed = sum(outcome == "passed" for outcome in outcomes.values())
    print(
        f"{len(outcomes)} tests: {passed} passed, {len(EXCEPTIONS)} are excepted, {len(wrong)} wrong", *wrong, sep="\n"
    )
    return bool(wrong)


def unpack(archive: str, directory: Path) -> None:
    """Take the tests out of the source distribution."""
    with tarfile.open(archive) as contents:
        for member in contents.getmembers():
            parts = Path(member.name).parts
            if member.isfile() and len(parts) == 3 and parts[1] == "tests":
                source = contents.extractfile(member)
                assert source is not None
                (directory / "tests").mkdir(exist_ok=True)
                (directory / "tests" / parts[2]).write_bytes(source.read())
    (directory / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\njunit_family = xunit1\n")


@contextmanager
def servers() -> Iterator[None]:
    """Run a Redis, and a Sentinel that knows it, as the tests expect them."""
    watched = (f"sentinel monitor sentinel 127.0.0.1 {REDIS} 1", "requirepass channels_redis")
    with running_redis(port=REDIS), running_redis(*watched, sentinel=True, port=SENTINEL):
        yield


def read(report: Path) -> dict[str, str]:
    """Return what became of each test, by its file and name: "passed", "failed", "skipped" or "xfailed"."""
    outcomes = {}
    for case in ElementTree.parse(report).iter("testcase"):
        outcome = "passed"
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        elif (skipped := case.find("skipped")) is not None:
            outcome = "xfailed" if skipped.get("type") == "pytest.xfail" else "skipped"
        outcomes[f"{Path(case.get('file', '')).name}::{case.get('name')}"] = outcome
    return outcomes


def complaints(outcomes: Mapping[str, str], exceptions: Mapping[str, str]) -> list[str]:
    """Return what is not as it should be: all pass, or fail as channels_redis says, but for the exceptions."""
    if not outcomes:
        return ["No test has run"]
    wrong = [
        f"{test}: {outcome}"
        for test, outcome in outcomes.items()
        if outcome not in ("passed", "xfailed") and not (test in exceptions and outcome == "failed")
    ]
    for test in exceptions:
        outcome = outcomes.get(test, "did not run")
        if outcome not in ("failed", "skipped"):
            wrong.append(f"{test}: {outcome}, but it is listed as an exception: take it off the list")
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
