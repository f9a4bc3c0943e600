"""The application of the tutorial, as the reader has it after each step."""

from pathlib import Path

from .pages import Block, blocks

STEPS = ("echo", "rooms", "presence", "sign-in", "typed", "recovery", "redis", "tests", "deployment")
SECRET = "a secret of 32 bytes at the least"


def page_of(step: str) -> str:
    return f"docs/tutorial/{step}.md"


def files_in(step: str) -> dict[str, Block]:
    """Return the files that a step's page shows, by name. What is HTML is the page for the browser."""
    found = {block.file or "": block for block in blocks(page_of(step), "python")}
    assert "" not in found, f"{page_of(step)} has Python that is no file"
    for block in blocks(page_of(step), "html"):
        found["chat.html"] = block
    return found


def files_after(step: str) -> dict[str, Block]:
    """Return what the reader's folder has after a step: of each file, what the last page shows of it."""
    files: dict[str, Block] = {}
    for each in STEPS[: STEPS.index(step) + 1]:
        files |= files_in(each)
    return files


def write_step(step: str, folder: Path) -> Path:
    """Write the files of a step into a folder, and return that."""
    for name, block in files_after(step).items():
        (folder / name).write_text(block.text, encoding="utf-8")
    return folder


def command_of(step: str, beginning: str) -> list[str]:
    """Return the words behind `python` of the command that the reader has last seen, of those that begin so."""
    seen = [
        command
        for each in STEPS[: STEPS.index(step) + 1]
        for block in blocks(page_of(each), "sh", "console")
        for command in block.commands
        if command.startswith(beginning)
    ]
    words = seen[-1].split()
    return words[1:] if words[0] == "python" else ["-m", *words]
