"""Writes the table of moved names into docs/howto/porting.md: `python docs/howto/moved_names.py`."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from compat.moves import MOVES

PAGE = Path(__file__).parent / "porting.md"
START, END = "<!-- moved names, by docs/howto/moved_names.py -->\n", "<!-- end of moved names -->\n"


def table() -> str:
    """Return the table: a line for the names that move from one module to one other."""
    moves = defaultdict(list)
    for old, new in MOVES.items():
        (old_module, _, name), (new_module, _, _) = old.rpartition("."), new.rpartition(".")
        moves[old_module, new_module].append(name)
    return "".join(f"{line}\n" for line in _lines(moves))


def _lines(moves: dict[tuple[str, str], list[str]]) -> Iterator[str]:
    yield "| in Channels | name | natively in |"
    yield "|---|---|---|"
    for (old_module, new_module), names in sorted(moves.items()):
        stays = new_module == f"compat.{old_module}"
        yield f"| `{old_module}` | {', '.join(f'`{name}`' for name in names)} | {'' if stays else f'`{new_module}`'} |"


def updated(page: str) -> str:
    """Return the page with the table of today."""
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
