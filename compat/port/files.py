"""The files of a project: finding them, and putting edited ones in their places."""

import os
import re
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

SKIPPED = (
    "__pycache__",
    "node_modules",
    "site-packages",
    ".eggs",
    ".git",
    ".hg",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".venv",
    "venv",
)
"""Directories that hold nothing of the project's own; so does every one with a pyvenv.cfg."""

REQUIREMENTS = re.compile(r"(?:.*[-_.])?requirements(?:[-_.].*)?\.(?:txt|in)", re.IGNORECASE)
PYPROJECT = "pyproject.toml"


class Unwritable(Exception):
    """A file cannot be replaced; it is as it was."""


def is_requirements(path: Path) -> bool:
    """Tell whether this is a requirements file, by its name or that of its directory."""
    in_directory = path.suffix in (".in", ".txt") and path.parent.name == "requirements"
    return in_directory or bool(REQUIREMENTS.fullmatch(path.name))


def walk(path: Path) -> Iterator[Path]:
    """Yield the files to look at: one, or those below a directory, in order. Links to directories are not followed."""
    if not path.is_dir():
        yield path
        return
    for directory, directories, names in os.walk(path):
        here = Path(directory)
        directories[:] = sorted(name for name in directories if not _is_skipped(here / name))
        for name in sorted(names):
            file = here / name
            if (file.suffix == ".py" or name == PYPROJECT or is_requirements(file)) and file.is_file():
                yield file


def _is_skipped(directory: Path) -> bool:
    return directory.name in SKIPPED or (directory / "pyvenv.cfg").exists()


def link_outside(file: Path, paths: Sequence[Path]) -> Path | None:
    """Return where a symbolic link leads, if that is not below one of `paths`: another run's affair."""
    if not file.is_symlink() or file in paths:
        return None
    target = file.resolve()
    return None if any(target.is_relative_to(path.resolve()) for path in paths) else target


def replace(file: Path, data: bytes) -> None:
    """Put other bytes into a file, all or none of them; its mode stays, and a link stays a link.

    Raises:
        Unwritable: the file, or its directory, may not be written; says why.
    """
    target = file.resolve()
    temporary: Path | None = None
    try:
        mode = stat.S_IMODE(target.stat().st_mode)
        # Replacing a file needs no permission to write it, and root has every one: the mode says what is wanted.
        if not mode & 0o222 or not os.access(target, os.W_OK):
            raise Unwritable("it is read-only")
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        os.replace(temporary, target)
    except OSError as error:
        raise Unwritable(error.strerror or str(error)) from error
    finally:
        if temporary is not None:
            with suppress(OSError):  # it has taken the file's place
                temporary.unlink()


def own_module(file: Path, path: Path, name: str) -> Path | None:
    """Return the project's own module of this name that `import <name>` may find from a file; None if there is none.

    Such a module lies in a directory that is no package itself, between the file and `path`, or as far up as the file's
    own packages go.
    """
    root = path.resolve()
    for directory in file.resolve().parents:
        is_package = (directory / "__init__.py").exists()
        if not is_package:
            for own in (directory / f"{name}.py", directory / name / "__init__.py"):
                if own.exists():
                    return own
            if directory == root or not directory.is_relative_to(root):
                return None
    return None
