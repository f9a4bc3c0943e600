"""Have mypy and pyright check every Python example of the documentation: `python -m tests.typing.examples`."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from ..support.pages import ROOT, Block, blocks
from .checkers import UNANNOTATED, Fault, mypy, pyright

IN_PIECES = "docs/howto/application.md"
"""A page that shows files piece by piece, which `APPLICATION` has whole."""

APPLICATION = ROOT / "docs/howto/application"

PAGES = [
    page
    for page in (
        "README.md",
        "CONTRIBUTING.md",
        *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")),
    )
    if page != IN_PIECES
]

WITHOUT_TYPES = ("app", "celery", "chat", "django", "example_project", "mysite", "plain_layer")
"""Packages that are not there: the reader's own, Celery and Django; and what is code for Channels."""

ANYTHING = "from typing import Any\n\ndef __getattr__(name: str) -> Any: ...\n"


def extract(examples: dict[str, Block], folder: Path, elsewhere: Path) -> None:
    """Write each example into a file of its own, and what it imports that is not there into another folder.

    Args:
        examples: by the name of the module that each is to be.
        folder: the examples' own.
        elsewhere: what they import.
    """
    shown = {block.file.removesuffix(".py"): block.text for block in examples.values() if block.file}
    for name, block in examples.items():
        file = folder / f"{name}.py"
        if block.file and re.search(r"^from \.", block.text, re.MULTILINE):  # it needs its neighbours
            shutil.copytree((ROOT / block.file).parent, folder / name)
            file = folder / name / Path(block.file).name
        file.write_text(block.source, encoding="utf-8")
        for module in re.findall(r"^(?:from|import) ([\w.]+)", block.text, re.MULTILINE):
            package = module.partition(".")[0]
            if package == "channels":  # as the hook of `compat` has it
                _write(elsewhere, module, f"from compat.{module} import *\n")
            elif package in WITHOUT_TYPES:
                _write(elsewhere, module, ANYTHING)
            elif package in shown:  # a file that a page shows
                (elsewhere / f"{package}.py").write_text(shown[package], encoding="utf-8")


def _write(folder: Path, module: str, text: str) -> None:
    file = folder.joinpath(*module.split(".")).with_suffix(".pyi")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    for parent in file.relative_to(folder).parents[:-1]:
        # What is not there at all is imported as a whole, too.
        (folder / parent / "__init__.pyi").write_text(text if text == ANYTHING else "", encoding="utf-8")


def faults(examples: dict[str, Block]) -> dict[str, list[Fault]]:
    """Return what each checker, by its name, objects to in the examples."""
    with TemporaryDirectory() as directory:
        folder, elsewhere = Path(directory).resolve() / "examples", Path(directory).resolve() / "elsewhere"
        folder.mkdir()
        elsewhere.mkdir()
        extract(examples, folder, elsewhere)
        checkers: dict[str, Callable[[], list[Fault]]] = {
            "mypy": lambda: mypy(folder, *UNANNOTATED, found_in=elsewhere),
            "pyright": lambda: pyright(folder, found_in=elsewhere),
        }
        return {name: [fault for fault in check() if _is_in_one(fault, examples)] for name, check in checkers.items()}


def _is_in_one(fault: Fault, examples: dict[str, Block]) -> bool:
    """Tell whether a fault is in an example, and not in a neighbour, which may be code written for Channels."""
    name, _, rest = fault.file.removesuffix(".py").partition("/")
    file = examples[name].file
    return not rest or (file is not None and f"{rest}.py" == Path(file).name)


def main() -> int:
    """Print what is wrong, by page and line; return the exit status."""
    pages = {
        f"{re.sub(r'[^a-z]', '_', page.lower())}_{block.line}": (page, block)
        for page in PAGES
        for block in blocks(page, "python")
    }
    found = faults({name: block for name, (_, block) in pages.items()})
    for checker, each in found.items():
        for fault in each:
            page = pages[fault.file.removesuffix(".py").partition("/")[0]][0]
            print(f"{page}:{fault.line}: {fault.text}  [{checker}: {fault.rule}]")
    print(f"{len(pages)} examples of {len(PAGES)} pages: {sum(map(len, found.values()))} errors of type checkers")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
