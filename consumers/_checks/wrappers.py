"""Looks for what an application wraps, as middleware does, such as a router, without running any code of it.

What is looked at may be a stand-in for something that is not there yet, such as Django's settings. So no object is
asked for its attributes or its `__class__`: descriptors of Python's own read what it holds.
"""

import dis
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, MethodType
from typing import Any

MAX_DEPTH = 40
"""How many wrappers may be around what is looked for."""

MAX_OBJECTS = 200
"""How many objects are looked at, the nearest first; what is behind more is not found."""

_MARK = "_path_routing"
"""The attribute by which Channels, too, knows a router."""

_mro = vars(type)["__mro__"].__get__
_namespace = vars(type)["__dict__"].__get__
_PARTIAL = [vars(partial)[name] for name in ("func", "args", "keywords")]


def leads_to_router(application: object) -> bool:
    """Tell whether an ASGI application is a `URLRouter`, or wraps one."""
    return any(map(_is_marked, unwrapped(application)))


def unwrapped(application: object) -> Iterator[Any]:
    """Yield an ASGI application, what it may call, and so on, the nearest first."""
    level = [application]
    seen: dict[int, object] = {}
    for _ in range(MAX_DEPTH + 1):
        below: list[object] = []
        for candidate in level:
            if id(candidate) in seen:
                continue
            if len(seen) == MAX_OBJECTS:
                return
            seen[id(candidate)] = candidate
            if not callable(candidate) or _is_class(candidate):
                continue
            yield candidate
            below += islice(_parts(candidate), MAX_OBJECTS - len(below))
        level = below


def _is_class(value: object) -> bool:
    return issubclass(type(value), type)


def _is_marked(application: object) -> bool:
    own = _own_dict(application)
    mark = dict.get(own, _MARK)
    return (unbound(type(application), _MARK) if mark is None else mark) is True


def unbound(kind: type, name: str) -> Any:
    """Return what a class has under a name, as it is there and not as it is asked for; None if it has nothing."""
    return next((space[name] for space in map(_namespace, _mro(kind)) if name in space), None)


def _own_dict(value: object) -> dict[str, object]:
    """Return an object's `__dict__`, if that is the usual one; else an empty dict."""
    descriptor = unbound(type(value), "__dict__")
    if type(descriptor) is GetSetDescriptorType and not _is_class(value):
        with suppress(AttributeError, TypeError):  # it is another class'
            found = descriptor.__get__(value)
            if issubclass(type(found), dict):
                return found  # type: ignore[no-any-return]
    return {}


def _parts(wrapper: Any) -> Iterator[object]:
    """Yield what a wrapper may call: its attributes, and what its function has been given, has closed over or calls."""
    kind = type(wrapper)
    yield from _attributes(wrapper)
    if issubclass(kind, partial):
        function, arguments, keywords = (slot.__get__(wrapper) for slot in _PARTIAL)
        yield from (function, *arguments, *keywords.values())
    elif kind is MethodType:
        yield wrapper.__func__
        yield from _attributes(wrapper.__self__)
    function = wrapper if kind is FunctionType else unbound(kind, "__call__")
    if type(function) is FunctionType:
        for cell in function.__closure__ or ():
            with suppress(ValueError):  # it is empty
                yield cell.cell_contents
        yield from _called_globals(function)


def _attributes(owner: object) -> Iterator[object]:
    """Yield the values of an object's own attributes, and the applications of a `ProtocolTypeRouter`."""
    if _is_class(owner):
        yield from _some(dict(_namespace(owner)))
        return
    own = _own_dict(owner)
    yield from _some(own)
    mapping = dict.get(own, "application_mapping")
    if issubclass(type(mapping), dict):
        yield from _some(mapping)
    for space in map(_namespace, _mro(type(owner))):
        for slot in space.values():
            if type(slot) is MemberDescriptorType:
                with suppress(AttributeError, TypeError):  # it is empty, or another class'
                    yield slot.__get__(owner)


def _some(values: Any) -> Iterable[object]:
    return list(islice(dict.values(values), MAX_OBJECTS))


def _called_globals(function: FunctionType) -> Iterator[object]:
    """Yield the global objects that a function calls by their names; functions and classes are no wrappers' parts."""
    code = function.__code__
    named = {name: dict.get(function.__globals__, name) for name in code.co_names}
    named = {
        name: value
        for name, value in named.items()
        if callable(value) and type(value) is not FunctionType and not _is_class(value)
    }
    for instruction in dis.get_instructions(code) if named else ():
        # Where a global is loaded to be called, its name is shown with a mark.
        if instruction.opname == "LOAD_GLOBAL" and instruction.argrepr != instruction.argval:
            yield named.get(instruction.argval)
