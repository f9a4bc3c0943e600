"""Run the suite: `make bench`, or `python -m benchmarks --help`."""

import argparse
import asyncio
import sys
from fnmatch import fnmatchcase

from . import report
from .in_process import InProcess
from .peers import PEERS
from .plan import IN_PROCESS, Options
from .results import Results


def parse() -> Options:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios, separated by commas; patterns such as 'wire-*' too")
    parser.add_argument("--peers", default=",".join(PEERS), help="peers, separated by commas")
    parser.add_argument("--rounds", type=int, default=5, help="measurements for each median")
    parser.add_argument("--seconds", type=float, default=0.2, help="about how long one measurement takes")
    parser.add_argument("--shrink", type=int, default=1, help="divide the numbers of connections by this")
    arguments = parser.parse_args()
    only = tuple(filter(None, arguments.only.split(",")))
    peers = tuple(filter(None, arguments.peers.split(",")))
    for pattern in only:
        if not any(fnmatchcase(name, pattern) for name in IN_PROCESS):
            parser.error(f"no scenario is called {pattern!r}; there are {', '.join(IN_PROCESS)}")
    for peer in peers:
        if peer not in PEERS:
            parser.error(f"no peer is called {peer!r}; there are {', '.join(PEERS)}")
    return Options(only, peers, arguments.rounds, arguments.seconds, arguments.shrink)


async def main(options: Options) -> Results:
    results = Results()
    names = [name for name in IN_PROCESS if not options.only or any(fnmatchcase(name, p) for p in options.only)]
    async with InProcess(options, results).running() as in_process:
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            await in_process.run(name)
    print(report.table(results, options, names))
    return results


if __name__ == "__main__":
    failures = asyncio.run(main(parse())).failures
    for failure in failures:
        print(f"Failed: {failure}", file=sys.stderr)
    sys.exit(bool(failures))
