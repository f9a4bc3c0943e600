"""Check the prose of the documentation: `python -m tools.prose [PAGE...]`.

A page's median sentence has at most 16 words, and none has more than 35. Code, tables, headings and generated pages do
not count. A piece of code in a sentence is one word.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent

MEDIAN, LONGEST = 16, 35

NOT_PROSE = re.compile(
    r"""
    ^\ *```.*?^\ *```$      # a block of code
    | <!--.*?-->            # a comment
    | ^\#.*?$               # a heading
    | ^\ *\|.*?$            # a row of a table
    | ^\ *</?\w[^>]*>       # a tag at the beginning of a line
    | ^:::.*(?:\n\ .*)*     # what the API reference has there
    """,
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)

GAP = "\0"

PARAGRAPH = re.compile(rf"{GAP}|\n\s*\n|\n\s*(?=(?:[-*]|\d+\.) )")

SENTENCE = re.compile(r"(?<=[.!?])[)*_\"']*\s+(?=[^a-z\s])")

ABBREVIATED = re.compile(r"\b(e\.g|i\.e|etc|vs|cf|approx)\.")


def pages() -> list[Path]:
    """Return the pages that are written by hand."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(page for page in found if not page.read_text(encoding="utf-8").startswith("<!-- generated"))


def sentences(text: str) -> Iterator[tuple[int, str]]:
    """Yield each sentence of a page, with the number of its line."""
    # The newlines stay, so that lines keep their numbers.
    prose = NOT_PROSE.sub(lambda found: GAP + "\n" * found[0].count("\n"), text)
    start = 0
    for end in [*(found.end() for found in PARAGRAPH.finditer(prose)), len(prose)]:
        paragraph = prose[start:end]
        line = prose.count("\n", 0, end - len(paragraph.lstrip())) + 1
        for sentence in SENTENCE.split(_plain(paragraph)):
            if words(sentence):
                yield line, " ".join(sentence.split())
        start = end


def _plain(paragraph: str) -> str:
    """Return the text that a reader sees."""
    paragraph = re.sub(r"``.+?``|`[^`]+`", "Code", paragraph, flags=re.DOTALL)
    paragraph = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", paragraph)
    return ABBREVIATED.sub(r"\1", paragraph)


def words(sentence: str) -> int:
    """Return how many words a sentence has."""
    return sum(bool(re.search(r"\w", word)) for word in sentence.split())


def faults(page: Path) -> Iterator[str]:
    """Yield what is wrong with a page."""
    name = page.resolve().relative_to(ROOT)
    found = [(line, sentence, words(sentence)) for line, sentence in sentences(page.read_text(encoding="utf-8"))]
    for line, sentence, count in found:
        if count > LONGEST:
            yield f"{name}:{line}: {count} words, more than {LONGEST}: {sentence}"
    if found and (middle := median(count for *_, count in found)) > MEDIAN:
        yield f"{name}: the median sentence has {middle:g} words, more than {MEDIAN}"


def main(arguments: list[str]) -> int:
    """Print what is wrong, by page and line; return the exit status."""
    checked = [Path(argument) for argument in arguments] or pages()
    found = [fault for page in checked for fault in faults(page)]
    print(*found, f"{len(checked)} pages: {len(found)} faults of prose", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
