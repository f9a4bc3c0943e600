"""`import channels.layers`, with and without `as`."""

import libcst as cst

from ..moves import MOVES
from .imports import has_comment_behind, line_of, runs
from .names import is_module, is_ported, old_name, split
from .plan import Plan
from .source import dotted_name
from .uses import Bound, Use, Uses, native_module

Part = tuple[cst.Import, cst.ImportAlias]
"""An import statement, and one of the names in it."""


class Roots:
    """Plans the imports that bind a package's name: `import channels.layers`, used as `channels.layers.x`.

    The imports of one package are planned together: `import compat.channels.layers` and `compat.channels.layers.x`, or
    `import consumers` and `consumers.x`. Where the name is bound otherwise too (`except ImportError: channels = None`),
    it is kept: `from compat import channels`.
    """

    def __init__(self, plan: Plan, uses: Uses, imports: list[cst.Import]) -> None:
        self._plan = plan
        self._source = plan.source
        self._uses = uses
        self._imports = imports

    def plan(self, root: str) -> None:
        """Plan all imports of one package, "channels", "channels_redis" or "compat"."""
        found = [(statement, alias) for statement in self._imports for alias in _of_root(statement, root)]
        known = [(statement, alias) for statement, alias in found if self._is_known(statement, alias)]
        if not known:
            return
        mine = {statement for statement, _ in known}
        used = [(use, bindings) for use, bindings in self._uses.of(root) if mine.intersection(bindings)]
        is_pure = self._is_pure(root, used)
        for native in [True, False] if self._plan.native else [False]:
            if is_pure and self._are_free(root, used, native):
                self._rename(known, used, native)
                return
        if is_ported(root):
            return
        if self._is_free("compat"):
            self._keep_name(known)
        else:
            self._plan.note(
                known[0][0],
                f"`compat` means something else in this file: write `from compat.{root}… import …` for what is needed",
            )

    def _is_known(self, statement: cst.Import, alias: cst.ImportAlias) -> bool:
        old = old_name(dotted_name(alias.name))
        if old is not None and not is_module(old):
            self._plan.note(statement, no_module(old))
        return old is not None and is_module(old)

    def _is_pure(self, root: str, used: list[Bound]) -> bool:
        """Tell whether the name is only ever looked up, where only imports of its package bind it."""
        imports = {statement for statement in self._imports if _of_root(statement, root)}
        for use, bindings in used:
            deleted = any(isinstance(node, cst.Del) for node in self._source.ancestors(use.node))
            if deleted or not imports.issuperset(bindings):
                return False
        return not any(isinstance(node, cst.NameItem) and node.name.value == root for node in self._source.nodes)

    def _are_free(self, root: str, used: list[Bound], native: bool) -> bool:
        roots = {_new(use, native)[2].partition(".")[0] for use, _ in used if old_name(use.dotted)}
        return all(self._is_free(new) for new in roots | ({"compat"} - {root}))

    def _is_free(self, name: str) -> bool:
        return all(
            isinstance(node, cst.Import) and any(_of_root(node, name))
            for node in self._source.bound_names.get(name, ())
        )

    def _rename(self, known: list[Part], used: list[Bound], native: bool) -> None:
        needed: dict[cst.ImportAlias, set[str]] = {alias: set() for _, alias in known}
        others = []
        for use, bindings in used:
            old = old_name(use.dotted)
            module = use.parts[0]  # compat.configure, say
            if old is not None:
                end, text, module = _new(use, native)
                self._plan.edit(use.start, end, text)
                self._plan.done.add(use.node)
                self._plan.note_missing(use.node, old)
                if native:
                    self._plan.note_by_hand(use.node, old)
            binding = [alias for statement, alias in known if statement in bindings]
            named = [alias for alias in binding if f"{old}.".startswith(f"{old_name(dotted_name(alias.name))}.")]
            for alias in named:
                needed[alias].add(module)
            if not named:
                others.append((module, binding, bindings))
        if native:
            self._provide(others, needed, {alias for _, alias in known})
        new = {
            alias: sorted(modules if native else ()) or [f"compat.{old_name(dotted_name(alias.name))}"]
            for alias, modules in needed.items()
        }
        repeated = self._repeated(new)
        for statement in dict.fromkeys(statement for statement, _ in known):
            if statement in repeated:
                self._plan.edit(*line_of(self._source, statement), "")
            else:
                self._write(statement, new)

    def _repeated(self, new: dict[cst.ImportAlias, list[str]]) -> set[cst.Import]:
        """Return the statements that will import nothing but what others above them do."""
        found = set()
        for run in runs(self._source):
            above: set[str] = set()
            for statement in run:
                if isinstance(statement, cst.Import) and set(statement.names) <= set(new):
                    modules = {module for alias in statement.names for module in new[alias]}
                    if modules <= above and not has_comment_behind(self._source, statement):
                        found.add(statement)
                    above |= modules
        return found

    def _write(self, statement: cst.Import, new: dict[cst.ImportAlias, list[str]]) -> None:
        """Edit one statement, so that it imports no module twice."""
        seen: set[str] = set()
        end = 0
        for alias in statement.names:
            before, (start, end) = end, self._source.span(alias.asname or alias.name)
            modules = new.get(alias, [] if alias.asname else [dotted_name(alias.name)])
            if alias in new:
                missing = [module for module in modules if module not in seen]
                self._plan.edit(start if missing else before, end, ", ".join(missing))
            seen.update(modules)

    def _provide(
        self,
        others: list[tuple[str, list[cst.ImportAlias], list[cst.CSTNode]]],
        needed: dict[cst.ImportAlias, set[str]],
        known: set[cst.ImportAlias],
    ) -> None:
        """Add what is used of modules that no import names: `import channels.auth`, and then `channels.layers.x`."""
        for module, binding, bindings in others:
            imported = {
                dotted_name(alias.name)
                for statement in bindings
                if isinstance(statement, cst.Import)
                for alias in statement.names
                if alias not in known
            }
            # One that nothing is used of stays in `compat`.
            imported |= {name for alias in binding for name in needed[alias] or {"compat"}}
            if not any(f"{name}.".startswith(f"{module}.") for name in imported):
                for alias in binding:
                    needed[alias].add(module)

    def _keep_name(self, known: list[Part]) -> None:
        for statement, alias in known:
            dotted = dotted_name(alias.name)
            root = dotted.partition(".")[0]
            start, end = self._source.span(statement)
            if dotted == root and len(statement.names) == 1:
                self._plan.edit(start, end, f"from compat import {root}")
                continue
            self._plan.edit(*self._source.span(alias.name), f"compat.{dotted}")
            self._plan.edit(end, end, f"{self._source.joiner(statement)}from compat import {root}")


def _new(use: Use, native: bool) -> tuple[int, str, str]:
    """Return where the replaced part of a use ends, what replaces it, and the module to import for it."""
    skipped = 1 if is_ported(use.parts[0]) else 0
    native = native and not use.is_commented
    names = use.parts[skipped:]
    for count in range(len(names), 0, -1):
        new = MOVES.get(".".join(names[:count])) if native else None
        if new is not None:
            return use.ends[skipped + count - 1], new, new.rpartition(".")[0]
    module, rest = split(".".join(names))
    new = MOVES.get(f"{module}.{use.named}", "") if native and not rest else ""
    if new.endswith(f".{use.named}"):
        return use.ends[-1], new.rpartition(".")[0], new.rpartition(".")[0]
    return use.ends[skipped], f"compat.{names[0]}", f"compat.{module}"


def no_module(old: str) -> str:
    """Return what to say of a module that Channels 4.3 has not."""
    return f"Channels 4.3 has no module {old}: move on to what its release notes name instead, then port that"


def plan_aliased(plan: Plan, statement: cst.Import, alias: cst.ImportAlias, uses: Uses) -> None:
    """Plan `import channels.layers as cl`."""
    dotted = dotted_name(alias.name)
    old = old_name(dotted)
    if old is None or alias.asname is None or (is_ported(dotted) and not plan.native):
        return
    if not is_module(old):
        plan.note(statement, no_module(old))
        return
    local = dotted_name(alias.asname.name)
    module = native_module(uses, local, old, statement) if plan.native else None
    plan.edit(*plan.source.span(alias.name), module or f"compat.{old}")
    note_uses(plan, uses, local, old, statement)


def note_uses(plan: Plan, uses: Uses, local: str, old: str, statement: cst.CSTNode) -> None:
    """Tell a person what to know about the names that a file looks up in a module."""
    for use, bindings in uses.of(local):
        if statement in bindings:
            name = ".".join([old, *use.parts[1:]])
            plan.note_missing(use.node, name)
            plan.note_by_hand(use.node, name)


def _of_root(statement: cst.Import, root: str) -> list[cst.ImportAlias]:
    """Return the parts of an import that bind this name as a package's."""
    return [
        alias for alias in statement.names if alias.asname is None and dotted_name(alias.name).partition(".")[0] == root
    ]
