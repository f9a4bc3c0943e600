"""Runs the tests in every environment, prints the counts side by side and compares the transcripts.

`python -m tests.parity.run [pytest's options]`; `make test-parity` sets the environments up first.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from .transcripts.compare import problems

ROOT = Path(__file__).resolve().parent.parent.parent

TIME_LIMIT = 300
"""Seconds that the tests of one directory have in one environment."""

TIMED_OUT = 124


@dataclass(frozen=True)
class Suite:
    """Tests that run together.

    Args:
        directory: where they are, with their `pytest.ini` and Django's `settings.py`.
        options: pytest's.
        needs_django: whether they stay away from the environment without Django.
    """

    directory: str
    options: tuple[str, ...] = ()
    needs_django: bool = False


SUITES = (
    Suite("tests/parity", options=("--ignore=tests/parity/with_django", "--ignore=tests/parity/with_libraries")),
    Suite("tests/parity/with_django", needs_django=True),
    Suite("tests/parity/with_libraries", needs_django=True),
)


@dataclass(frozen=True)
class Environment:
    """A virtual environment.

    Args:
        title: how the table calls it.
        directory: where it is.
        options: pytest's.
        has_django: whether Django is in it.
    """

    title: str
    directory: str
    options: tuple[str, ...] = ("-p", "compat.pytest")
    has_django: bool = True


ENVIRONMENTS = (
    Environment("Channels", ".venv-channels", options=()),
    Environment("compat, Django", ".venv-django"),
    Environment("compat alone", ".venv-plain", has_django=False),
)


@dataclass
class Outcome:
    """What the tests did in one environment.

    Attributes:
        statuses: pytest's exit statuses.
        library: the file that `import channels` found.
        passed: how many tests passed, by file.
        failed: how many did not, by file.
        tests: the tests' names.
        transcripts: by the script's name and the flavour of the consumer.
    """

    statuses: list[int] = field(default_factory=list)
    library: str = ""
    passed: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    tests: set[str] = field(default_factory=set)
    transcripts: dict[str, list[str]] = field(default_factory=dict)


def main(options: Sequence[str]) -> int:
    """Run everything; return 0 if all is well."""
    outcomes = [run(environment, options) for environment in ENVIRONMENTS]
    print(table(outcomes))
    wrong = complaints(outcomes)
    reference = outcomes[0].transcripts
    for environment, outcome in zip(ENVIRONMENTS[1:], outcomes[1:], strict=True):
        differing = problems(reference, outcome.transcripts)
        print(f"\nTranscripts, {environment.title}: {len(outcome.transcripts)} compared, {len(differing)} wrong")
        wrong += [f"{environment.title}: {problem}" for problem in differing]
    print("", *wrong, sep="\n")
    return bool(wrong)


def run(environment: Environment, options: Sequence[str]) -> Outcome:
    """Run the tests in one environment."""
    outcome = Outcome()
    for suite in SUITES:
        if suite.needs_django and not environment.has_django:
            continue
        print(f"== {environment.title}: {suite.directory}", flush=True)
        variables = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
        if environment.has_django:
            variables["DJANGO_SETTINGS_MODULE"] = f"{suite.directory.replace('/', '.')}.settings"
        with tempfile.TemporaryDirectory() as directory:
            report = Path(directory, "report.xml")
            words = [f"{environment.directory}/bin/python", "-m", "pytest", "-c", f"{suite.directory}/pytest.ini"]
            words += ["--rootdir", ".", "-q", f"--junit-xml={report}", *environment.options, *suite.options, *options]
            outcome.statuses.append(_status([*words, suite.directory], variables))
            if report.exists():
                read(report, outcome)
    return outcome


def _status(words: Sequence[str], variables: Mapping[str, str]) -> int:
    """Run a command and return its exit status; end it, and what it has started, if it takes too long."""
    with subprocess.Popen(words, cwd=ROOT, env=variables, start_new_session=True) as process:
        try:
            return process.wait(TIME_LIMIT)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            print(f"Ended after {TIME_LIMIT} s")
            return TIMED_OUT


def read(report: Path, outcome: Outcome) -> None:
    """Read pytest's report, in its form "xunit1", into `outcome`."""
    for case in ElementTree.parse(report).iter("testcase"):
        name, file = case.get("name", ""), case.get("file", "")
        outcome.tests.add(f"{file}::{case.get('classname')}::{name}")
        has_passed = not any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
        (outcome.passed if has_passed else outcome.failed)[file] += 1
        for element in case.iter("property"):
            if element.get("name") == "transcript":
                outcome.transcripts[name.partition("[")[2].rstrip("]")] = json.loads(element.get("value", ""))
            elif element.get("name") == "library":
                outcome.library = element.get("value", "")


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the counts, a line for each file: passed, and failed where any did."""
    files = sorted({file for outcome in outcomes for file in (*outcome.passed, *outcome.failed)})
    width = max(map(len, ("", *files)))
    lines = [" " * width + "".join(f"{environment.title:>18}" for environment in ENVIRONMENTS)]
    for file in files:
        lines.append(f"{file:{width}}" + "".join(f"{_count(outcome, file):>18}" for outcome in outcomes))
    lines.append(f"{'passed':{width}}" + "".join(f"{outcome.passed.total():>18}" for outcome in outcomes))
    lines.append(f"{'failed':{width}}" + "".join(f"{outcome.failed.total():>18}" for outcome in outcomes))
    return "\n".join(lines)


def _count(outcome: Outcome, file: str) -> str:
    passed, failed = outcome.passed[file], outcome.failed[file]
    if not passed and not failed:
        return "-"
    return f"{passed}, {failed} failed" if failed else str(passed)


def complaints(outcomes: Sequence[Outcome]) -> list[str]:
    """Return what is wrong with the runs themselves: failures, and tests that ran in some environments only."""
    wrong = []
    everything = {test for outcome in outcomes for test in outcome.tests}
    needs_django = tuple(f"{suite.directory}/" for suite in SUITES if suite.needs_django)
    without_django = {test for test in everything if not test.startswith(needs_django)}
    for environment, outcome in zip(ENVIRONMENTS, outcomes, strict=True):
        if any(outcome.statuses) or outcome.failed:
            wrong.append(f"{environment.title}: pytest's status is {max(outcome.statuses)}")
        is_ours = Path(outcome.library).is_relative_to(ROOT / "compat")
        if is_ours != bool(environment.options):
            wrong.append(f"{environment.title}: `import channels` found {outcome.library or 'nothing'}")
        expected = everything if environment.has_django else without_django
        missing = expected - outcome.tests
        wrong += [f"{environment.title}: did not run {test}" for test in sorted(missing)]
    return wrong


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
