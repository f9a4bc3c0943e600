"""The application of docs/howto/application.md has no errors of mypy --strict and of pyright, and none switched off."""

import shutil
from pathlib import Path

import pytest

from .checkers import STRICT, mypy, pyright
from .examples import APPLICATION


@pytest.mark.slow
def test_both_checkers_find_nothing_in_the_application_until_something_is_wrong(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(APPLICATION, tmp_path.resolve() / "application"))
    assert mypy(folder, *STRICT) == []
    assert pyright(folder) == []
    chat = folder / "rooms" / "chat.py"
    right = chat.read_text(encoding="utf-8")
    wrong = right.replace("text=message.text", "text=message.txt")
    assert wrong != right
    chat.write_text(wrong, encoding="utf-8")
    assert [fault.file for fault in mypy(folder, *STRICT)] == ["rooms/chat.py"]
    assert [fault.file for fault in pyright(folder)] == ["rooms/chat.py"]


def test_no_rule_is_switched_off_in_the_application() -> None:
    for file in APPLICATION.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert "type: ignore" not in text and "pyright:" not in text and "noqa" not in text, file
