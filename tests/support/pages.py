"""The examples in the pages of documentation."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Block:
    """A block of code in a page.

    Attributes:
        language: "python", "sh" or "console".
        line: the number of its first line.
        text: its lines.
        options: what follows the language, such as `hl_lines="3 5-7"`.
    """

    language: str
    line: int
    text: str
    options: str = ""

    @property
    def file(self) -> str | None:
        """The file that a first line such as `# mysite/asgi.py` says this is; None if it says nothing."""
        named = re.match(r"# ([\w/]+\.py)\n", self.text)
        return named[1] if named else None

    @property
    def source(self) -> str:
        """The code behind as many empty lines as in the page, so that a traceback shows the line there."""
        return "\n" * (self.line - 1) + self.text

    @property
    def commands(self) -> list[str]:
        """The commands: in a console those behind a `$`, in a shell script all lines, without their comments."""
        if self.language == "console":
            return re.findall(r"^\$ (.*)$", self.text, re.MULTILINE)
        return [line.partition("  #")[0].strip() for line in self.text.splitlines()]

    @property
    def marked(self) -> list[int]:
        """The numbers of its lines that are marked as new, by `hl_lines`. Its first line is 1."""
        found = re.search(r'hl_lines="([\d -]*)"', self.options)
        ranges = [word.partition("-") for word in found[1].split()] if found else []
        return [line for first, _, last in ranges for line in range(int(first), int(last or first) + 1)]

    @property
    def output(self) -> str:
        """What a console shows behind its one command."""
        return self.text.partition("\n")[2]


def blocks(page: str, *languages: str) -> list[Block]:
    """Return the blocks of these languages in a page, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.finditer(r"^( *)```(\w+)(?: ([^\n]*))?\n(.*?)^\1```$", text, re.MULTILINE | re.DOTALL)
    return [
        Block(
            language=block[2],
            line=text.count("\n", 0, block.start(4)) + 1,
            text=re.sub(f"^{block[1]}", "", block[4], flags=re.MULTILINE),
            options=block[3] or "",
        )
        for block in found
        if block[2] in languages
    ]
