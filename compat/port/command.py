"""The command `port`."""

import io
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from consumers.__main__ import UsageError

from . import edits, files, installed, layers, requirements, routes
from .names import COMPAT
from .plan import Kind
from .report import Result, diff, left, report
from .source import TOO_DEEP, Source, Unreadable, require_syntax

MENTIONS = (b"channels", b"daphne")
INDIRECT = (
    *(b"django.urls", b"AllowedHostsOriginValidator", b"channel_layer", b"CHANNEL_LAYERS"),
    *(b"import compat", b"from compat", b"compat.configure"),
)
"""What a file must have somewhere to be worth a closer look."""

SHADOWED = ("consumers", "compat")
"""Our own packages, which a project's top-level modules of these names would hide."""


def run(paths: Sequence[Path], *, native: bool = False, write: bool = False, check: bool = False) -> int:
    """Show how a project's imports of Channels are ported, or port them.

    Args:
        paths: files and directories of one project.
        native: go on to `consumers` where it has what Channels has; else to `compat.channels` only.
        write: edit the files instead of printing a diff.
        check: print no diff; the exit status says whether edits, or things that a person must do, are left.

    Returns:
        int: the exit status. 1: with `check`, something is left; with `write`, a file could not be written.

    Raises:
        UsageError: there is no such path, or `write` and `check` are both given.
    """
    if write and check:
        raise UsageError("--check writes nothing: leave out --write, or --check")
    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no {str(path)!r}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may not have every character of a project
    found = _files(paths)
    django = None if all(path.is_file() for path in paths) else any(map(_uses_django, found))
    try:
        results = _port(found, Search(paths, native, write, django), shows=not (write or check))
        sys.stdout.writelines(f"{line}\n" for line in report(results, written=write))
        sys.stdout.flush()
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    failed = write and any(result.lines and not result.is_written for result in results)
    return 1 if failed or (check and left(results)) else 0


@dataclass(frozen=True)
class Search:
    """What holds for all files.

    Attributes:
        paths: what the tool was called with.
        native: as for `run()`.
        write: as for `run()`; lines are then counted as they will be, not as they are.
        django: whether Django stays in use; None for a single file, which does not say.
    """

    paths: Sequence[Path]
    native: bool
    write: bool
    django: bool | None


def _files(paths: Sequence[Path]) -> dict[Path, Path]:
    """Return the files to look at, each once, with the path that led to it."""
    found: dict[Path, Path] = {}
    seen: set[Path] = set()
    for path in paths:
        for file in files.walk(path):
            where = file.parent.resolve() / file.name
            if where not in seen:
                seen.add(where)
                found[file] = path
    return found


def _port(found: Mapping[Path, Path], search: Search, *, shows: bool) -> list[Result]:
    results = []
    for file, path in found.items():
        result = _look(file, path, search)
        if shows:
            sys.stdout.writelines(diff(result))
        elif search.write and result.lines:
            _write(file, result)
        results.append(result)
    layers.settle(results)
    uses_channels = any(_mentions(result.before, (*MENTIONS, b"compat")) for result in results)
    return [*results, *_shadows(results), *(installed.look() if uses_channels else ())]


def _uses_django(file: Path) -> bool:
    try:
        return file.suffix == ".py" and routes.uses_django(file.read_bytes())
    except (OSError, Unreadable, RecursionError):  # told of later
        return False


def _look(file: Path, path: Path, search: Search) -> Result:
    """Find out what is to be done with one file."""
    result = Result(_name(file))
    try:
        result.before = result.after = file.read_bytes()
        if file.name == files.PYPROJECT:
            result.findings = requirements.in_pyproject(result.before.decode())
        elif files.is_requirements(file):
            result.findings = requirements.in_text(result.before.decode())
        else:
            _look_at_code(file, path, search, result)
    except OSError as error:
        result.add(f"cannot be read: {error.strerror or error}; left as it is", Kind.LEFT)
    except (Unreadable, UnicodeError, RecursionError) as error:
        kind = Kind.LEFT if _mentions(result.before, MENTIONS) else Kind.TODO
        result.after, result.lines = result.before, []
        why = TOO_DEEP if isinstance(error, RecursionError) else error
        result.add(f"{why}; left as it is: mend it and run this again", kind, getattr(error, "line", None))
    return result


def _look_at_code(file: Path, path: Path, search: Search, result: Result) -> None:
    if not _mentions(result.before, (*MENTIONS, *INDIRECT)):
        require_syntax(result.before)
        return
    own = files.own_module(file, path, "channels")
    if own is not None:
        result.shadows.append((own, "channels"))
        return
    source = Source(result.before)
    plan = edits.plan(source, native=search.native, django=search.django)
    outside = files.link_outside(file, search.paths)
    if outside is not None:
        if plan.edits or plan.notes:
            given = " and ".join(map(str, search.paths))
            result.add(f"a symbolic link to {outside}, which is outside of {given}: run this on that", Kind.LEFT)
        return
    result.encoding = source.tree.encoding.removesuffix("-sig")
    result.after = source.edited(plan.edits)
    result.lines = plan.lines(search.write)
    result.findings = plan.found(search.write)
    result.configures_layers = layers.are_configured_in(source)
    if plan.is_concerned:
        shadows = [(files.own_module(file, path, name), name) for name in SHADOWED]
        result.shadows = [(found, name) for found, name in shadows if found and not _is_ours(found)]


def _write(file: Path, result: Result) -> None:
    try:
        files.replace(file, result.after)
        result.is_written = True
    except files.Unwritable as error:
        result.findings = []  # they are told again when the file can be written
        result.add(f"cannot be written: {error}; left as it was", Kind.LEFT)


def _shadows(results: list[Result]) -> Iterator[Result]:
    """Yield what to tell about modules of the project's own that have the names of packages."""
    for own, name in dict.fromkeys(shadow for result in results for shadow in result.shadows):
        found = Result(_name(own))
        if name == "channels":
            found.add(
                "`import channels` finds this, not Django Channels, in the files below its directory: they are left as "
                "they are; if they mean Django Channels, rename this and run the tool again",
                Kind.TODO,
            )
        else:
            found.add(
                f"`import {name}` finds this and not the package of starlette-consumers: rename it, or move it into a "
                "package, and change its imports",
                Kind.LEFT,
            )
        yield found


def _is_ours(own: Path) -> bool:
    return any(own.is_relative_to(COMPAT.parent / name) for name in SHADOWED)


def _mentions(data: bytes, words: Iterable[bytes]) -> bool:
    return any(word in data for word in words)


def _name(file: Path) -> str:
    """Return what to call a file: its path from the current directory, if it is below that."""
    absolute = Path(os.path.abspath(file))
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(file)
