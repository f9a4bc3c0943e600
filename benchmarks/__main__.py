"""Run the suite: `make bench`, or `python -m benchmarks --help`."""

import argparse
import asyncio
import resource
import sys
import time
from fnmatch import fnmatchcase

import uvloop

from . import goals, page, report
from .in_process import InProcess
from .peers import COMPARED, PEERS
from .plan import IN_PROCESS, NAMES, Options
from .results import Results
from .wire import run as wire
from .wire.processors import ARE_ENOUGH

CROWD = 10_000
"""Idle connections, if the limit on open files allows for so many."""

OTHER_FILES = 1_000
"""What the limit on open files has to allow beside them."""


def crowd() -> int:
    """Raise the limit on open files as far as it goes; return how many idle connections it allows."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return CROWD if hard == resource.RLIM_INFINITY else min(CROWD, hard - OTHER_FILES)


def parse() -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="*", help="scenarios, separated by commas; patterns such as 'wire-*' too")
    parser.add_argument("--peers", default=",".join(COMPARED), help="peers, separated by commas")
    parser.add_argument("--rounds", type=int, default=13, help="measurements for each median")
    parser.add_argument("--seconds", type=float, default=0.12, help="about how long one measurement in a process takes")
    parser.add_argument("--wire-seconds", type=float, default=0.3, help="the same for one over sockets")
    parser.add_argument("--minutes", type=float, default=30, help="when to stop, whatever is left")
    parser.add_argument(
        "--sleep",
        action="store_true",
        help="let the clients sleep until a frame comes: the servers pay for waking them",
    )
    parser.add_argument("--shrink", type=int, default=1, help="divide the numbers of connections by this")
    arguments = parser.parse_args()
    patterns, peers = arguments.only.split(","), tuple(arguments.peers.split(","))
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in NAMES):
            parser.error(f"no scenario is called {pattern!r}; there are {', '.join(NAMES)}")
    for peer in peers:
        if peer not in PEERS:
            parser.error(f"no peer is called {peer!r}; there are {', '.join(PEERS)}")
    return Options(
        only=tuple(name for name in NAMES if any(fnmatchcase(name, pattern) for pattern in patterns)),
        peers=peers,
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        wire_seconds=arguments.wire_seconds,
        crowd=crowd(),
        minutes=arguments.minutes,
        clients_sleep=arguments.sleep or not ARE_ENOUGH,
        shrink=arguments.shrink,
    )


async def main(options: Options) -> Results:
    results = Results()
    try:
        async with asyncio.timeout(options.minutes * 60):
            await measure(options, results)
    except TimeoutError:
        results.is_whole = False
        results.failures.append(f"{options.minutes:g} minutes were not enough for everything")
    return results


async def measure(options: Options, results: Results) -> None:
    async with InProcess(options, results).running() as in_process:
        for name in options.only:
            start = time.monotonic()
            print(f"{name} …", file=sys.stderr, end=" ", flush=True)
            if name in IN_PROCESS:
                await in_process.run(name)
            elif name == "wire-idle":
                await wire.run_idle(name, options, results)
            else:
                await wire.run(name, options, results)
            print(f"{time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def tell(options: Options, results: Results) -> None:
    """Print the figures, the goals that are missed and what failed; leave a page behind if everything was to run."""
    print(report.table(results, options, options.only))
    verdicts = list(goals.verdicts(results, options))
    short = [text for reached, text in verdicts if not reached]
    if verdicts:
        print(f"\n{len(verdicts) - len(short)} of {len(verdicts)} goals are reached.")
    for text in short:
        print(f"Falls short: {text}")
    for failure in results.failures:
        print(f"Failed: {failure}")
    everything = options.only == NAMES and options.peers == tuple(COMPARED) and options.shrink == 1
    if everything and results.is_whole:
        page.write(results, options)
        print(f"Written: {page.PAGE} and {page.CHART.name}")


if __name__ == "__main__":
    options = parse()
    results = uvloop.run(main(options))
    tell(options, results)
    sys.exit(bool(results.failures))
