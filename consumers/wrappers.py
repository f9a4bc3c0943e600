"""What an ASGI application wraps, such as middleware does. None of its code runs: it may be a proxy."""

import contextlib
from collections.abc import Iterator, Mapping
from functools import partial
from inspect import getattr_static
from types import FunctionType, MemberDescriptorType, MethodType
from typing import Any

MAX_WRAPPERS = 1000
"""How many objects are looked at in search of what an application wraps; more is no wrapper."""


def unwrapped(application: object) -> Iterator[object]:
    """Yield an ASGI application, what it may call, and so on."""
    waiting = [application]
    seen: set[int] = set()
    while waiting and len(seen) < MAX_WRAPPERS:
        candidate = waiting.pop()
        if id(candidate) in seen or isinstance(candidate, type) or not callable(candidate):
            continue
        yield candidate
        seen.add(id(candidate))
        waiting += _parts(candidate)


def _parts(wrapper: Any) -> Iterator[object]:
    """Yield what a wrapper may call: its attributes, and what its function has been given or has closed over."""
    with contextlib.suppress(AttributeError):
        attributes = object.__getattribute__(wrapper, "__dict__")
        yield from attributes.values()
        if isinstance(mapping := attributes.get("application_mapping"), Mapping):  # a ProtocolTypeRouter's
            yield from mapping.values()
    slots = (slot for base in type(wrapper).__mro__ for slot in vars(base).values())
    for slot in slots:
        if isinstance(slot, MemberDescriptorType):
            with contextlib.suppress(AttributeError):  # it is empty
                yield slot.__get__(wrapper)
    if isinstance(wrapper, partial):
        yield from (wrapper.func, *wrapper.args, *wrapper.keywords.values())
    elif isinstance(wrapper, MethodType):
        yield from (wrapper.__func__, *_parts(wrapper.__self__))
    function = wrapper if isinstance(wrapper, FunctionType) else getattr_static(type(wrapper), "__call__", None)
    if isinstance(function, FunctionType):
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # it is empty
                yield cell.cell_contents
        named = (function.__globals__.get(name) for name in function.__code__.co_names)
        yield from (value for value in named if not isinstance(value, FunctionType))
