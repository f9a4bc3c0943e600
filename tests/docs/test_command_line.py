"""docs/reference/command-line.md: it has each command and each option, with argparse's own words."""

import runpy

from ..support.pages import ROOT

TEXT = (ROOT / "docs/reference/command-line.md").read_text(encoding="utf-8")
COMMANDS = runpy.run_path(str(ROOT / "docs/reference/commands.py"))


def test_every_option_of_every_command_is_there_with_its_help() -> None:
    assert COMMANDS["updated"](TEXT) == TEXT, "run: python docs/reference/commands.py"
    assert COMMANDS["updated"](TEXT.replace("| `--grace SECONDS` | 25 |", "| `--grace SECONDS` | 26 |")) == TEXT


def test_the_first_table_lists_all_commands() -> None:
    names = [name for name, _ in COMMANDS["commands"]()]
    assert len(names) == 7
    for name in names:
        assert f"\n| [`{name}`](#" in TEXT, name
