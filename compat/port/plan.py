"""What is to be done with one file: edits for the tool, findings for a person."""

from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import NamedTuple

import libcst as cst

from ..moves import BY_HAND
from .names import has_module, is_missing, old_name, place, split
from .source import Edit, Source, dotted_name

GETTER = "channels.layers.get_channel_layer"


class Kind(Enum):
    """What a finding asks for."""

    LEFT = "left"
    """A person's edit, without which the port is not complete."""

    TODO = "to do"
    """Something that a person may decide to leave as it is: `--check` does not count it."""

    LAYERS = "left until layers are configured"
    """As `LEFT`, unless some file of the project configures the layers."""

    UNCOVERED = "not covered"
    """A feature of Channels that is not here."""


class Finding(NamedTuple):
    """Something to tell a person.

    Attributes:
        line: the number of the line; 0 for the file as a whole.
        text: what is there, and what to do.
    """

    line: int
    text: str
    kind: Kind


@dataclass
class Plan:
    """What is to be done with one source.

    Args:
        source: the source.
        native: edit names to their places in `consumers`, where they have one.
        django: whether Django stays in use; None if that is not known.

    Attributes:
        notes: what to tell a person, and of which node.
        done: the strings that need no further look.
        joined: the imports that become part of another one.
    """

    source: Source
    native: bool
    django: bool | None
    edits: list[Edit] = field(default_factory=list)
    notes: list[tuple[cst.CSTNode, str, Kind]] = field(default_factory=list)
    done: set[cst.CSTNode] = field(default_factory=set)
    joined: dict[cst.CSTNode, cst.CSTNode] = field(default_factory=dict)

    @cached_property
    def texts(self) -> frozenset[str]:
        """All strings of the file."""
        return frozenset(node.raw_value for node in self.source.nodes if isinstance(node, cst.SimpleString))

    @property
    def is_concerned(self) -> bool:
        """Whether the file has anything of Channels, ported or not."""
        return bool(self.edits or self.notes) or any(
            old_name(dotted_name(node)) is not None for node in self.source.nodes if isinstance(node, cst.Attribute)
        )

    def lines(self, final: bool) -> list[int]:
        """Return the numbers of the edited lines, as they are or as they will be."""
        edits = [edit for edit in self.edits if edit.text or not final] or self.edits
        return sorted({self._line(self.source.line_at(edit.start), final) for edit in edits})

    def found(self, final: bool) -> list[Finding]:
        """Return what to tell a person, with the lines' numbers as they are or as they will be."""
        found = set()
        for node, text, kind in self.notes:
            line = self.source.line(self.joined.get(node, node) if final else node)
            found.add(Finding(self._line(line, final), text, kind))
        return sorted(found, key=lambda finding: (finding.line, finding.text))

    def _line(self, line: int, final: bool) -> int:
        """Return where a line will be: the edits above it move it up or down."""
        above = [edit for edit in set(self.edits) if final and self.source.line_at(edit.start) < line]
        return line + sum(edit.text.count("\n") - self.source.code.count(b"\n", edit.start, edit.end) for edit in above)

    def edit(self, start: int, end: int, text: str) -> None:
        """Put `text` in the place of a stretch of the source, unless it is the same."""
        if self.source.code[start:end].decode() != text:
            self.edits.append(Edit(start, end, text))

    def note(self, node: cst.CSTNode, text: str, kind: Kind = Kind.LEFT) -> None:
        """Tell a person about a node."""
        self.notes.append((node, text, kind))

    def note_missing(self, node: cst.CSTNode, old: str) -> None:
        """Tell a person if Channels' name is not in `compat`."""
        module, attributes = split(old)
        if not has_module(old):
            self.note(node, f"this version has no compat.{module}: wait for one that has", Kind.UNCOVERED)
        if is_missing(old):
            name = attributes.partition(".")[0]
            self.note(node, f"compat.{module} has no {name}: it is none of Channels' public names; do without it")

    def note_by_hand(self, node: cst.CSTNode, old: str) -> None:
        """Tell a person what a move to the native name asks of them."""
        if not self.native:
            return
        for name, advice in BY_HAND.items():
            if old == name or old.startswith(f"{name}."):
                kind = Kind.LAYERS if name == GETTER else Kind.TODO
                self.note(node, f"{name.rpartition('.')[2]}: {advice}", kind)

    def place(self, old: str) -> str | None:
        """Return the dotted name that a name of Channels has after the port."""
        found = place(old, self.native)
        return found.dotted if found else None
