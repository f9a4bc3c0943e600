"""Mistakes in a consumer class, found when `as_asgi()` is called and not when a client arrives."""

import dis
import inspect
import logging
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from types import FunctionType
from typing import Any, NamedTuple

from . import connecting
from .misspelt import closest, misspelt, options
from .uncalled import uncalled, unread

logger = logging.getLogger("consumers.connection")


class Hook(NamedTuple):
    """A method that applications override and the framework calls.

    Args:
        caller: which of the framework's methods calls it; who overrides that one may call the hook as they like.
        arguments: how many arguments it gets.
        advice: how to write it, and where to find what was expected as an argument.
    """

    caller: str
    arguments: int
    advice: str


HOOKS = {
    "connect": Hook("websocket_connect", 0, "write connect(self)"),
    "receive": Hook("websocket_receive", 0, "write receive(self, text_data=None, bytes_data=None)"),
    "receive_json": Hook("receive", 1, "write receive_json(self, content)"),
    "disconnect": Hook("websocket_disconnect", 1, "write disconnect(self, code)"),
    "handle": Hook("http_request", 1, "write handle(self, body), and read path parameters from self.path_params"),
    "on_error": Hook("_on_error", 2, "write on_error(self, exc, message)"),
    "websocket_connect": Hook("dispatch", 1, "write websocket_connect(self, message)"),
    "websocket_receive": Hook("dispatch", 1, "write websocket_receive(self, message)"),
    "websocket_disconnect": Hook("dispatch", 1, "write websocket_disconnect(self, message)"),
    "http_request": Hook("dispatch", 1, "write http_request(self, message)"),
    "http_disconnect": Hook("dispatch", 1, "write http_disconnect(self, message)"),
}

COUNTED = ("no arguments", "one argument", "two arguments")

HTTP_DISCONNECT = Hook("http_disconnect", 0, "write disconnect(self)")


def check_attributes(consumer_class: Any) -> None:
    """Raise ValueError for a class attribute that cannot work, before a client finds out."""
    for name in ("max_tasks", "inbox_limit", "inbox_bytes"):
        value = getattr(consumer_class, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{consumer_class.__name__}.{name} must be an int of 1 or more, not {value!r}")
    for name in ("disconnect_timeout", "cleanup_timeout", "stall_timeout"):
        value = getattr(consumer_class, name)
        if not isinstance(value, int | float) or not value >= 0 or (name == "cleanup_timeout" and not value):
            raise ValueError(f"{consumer_class.__name__}.{name} must be a number of seconds, not {value!r}")
    if consumer_class.overflow not in ("drop", "close"):
        raise ValueError(
            f'{consumer_class.__name__}.overflow must be "drop" or "close", not {consumer_class.overflow!r}'
        )
    layer = inspect.getattr_static(consumer_class, "channel_layer", None)
    if isinstance(layer, str):
        raise ValueError(
            f"{consumer_class.__name__}.channel_layer is set for each connection, so {layer!r} would be lost: "
            f"write channel_layer_alias = {layer!r}"
        )
    groups = getattr(consumer_class, "groups", None)
    if isinstance(groups, str):
        raise ValueError(
            f"{consumer_class.__name__}.groups must be a list of names, not the str {groups!r}: [{groups!r}]?"
        )


def check_options(consumer_class: Any, framework: type) -> None:
    """Raise TypeError for a class attribute that is an option's name, misspelt; of `compat`'s classes, log it.

    Args:
        consumer_class: the application's class.
        framework: the framework's class that it derives from.
    """
    for owner, name, option in misspelt(consumer_class, framework):
        text = f"{owner.__name__}.{name} is not an option: did you mean {option}?"
        if consumer_class._is_native:
            raise TypeError(text)
        logger.warning("%s", text)


def check_uncalled(consumer_class: Any, framework: type) -> None:
    """Raise TypeError for a method that seems to wait for a call in vain; of `compat`'s classes, log it.

    Args:
        consumer_class: the application's class.
        framework: the framework's class that it derives from.
    """
    for text in (*unread(consumer_class, framework), *uncalled(consumer_class, framework, HOOKS)):
        if consumer_class._is_native:
            raise TypeError(text)
        logger.warning("%s", text)


def check_initkwargs(consumer_class: Any, framework: type, initkwargs: Mapping[str, Any], by_fastapi: bool) -> None:
    """Raise TypeError for keyword arguments of `as_asgi()` or `as_endpoint()` that no instance can be made with.

    Args:
        consumer_class: the application's class.
        framework: the framework's class that it derives from.
        initkwargs: the keyword arguments.
        by_fastapi: whether they are those of `as_endpoint()`.
    """
    if _definer(consumer_class, "__new__") not in framework.__mro__:  # the application decides there
        return
    name = consumer_class.__name__
    maker = f"{name}.as_endpoint" if by_fastapi else f"{name}.as_asgi"
    if _definer(consumer_class, "__init__") in framework.__mro__:  # which drops them
        for given in sorted(initkwargs):
            known = options(framework)
            option = given if given in known else closest(given, known)
            instead = f"set it in the class, {option} = {initkwargs[given]!r}" if option else "define one"
            text = f"{maker}({given}=...): {name} has no __init__() that takes {given}: {instead}"
            if consumer_class._is_native:
                raise TypeError(text)
            logger.warning("%s", text)
        return
    try:
        signature = inspect.signature(consumer_class.__init__)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(None, **initkwargs)
    except TypeError as error:
        raise TypeError(f"{maker}(): {_objection(name, maker, signature, initkwargs) or error}") from None


def _objection(name: str, maker: str, signature: inspect.Signature, initkwargs: Mapping[str, Any]) -> str | None:
    """Return what is wrong with the keyword arguments of an `__init__()`, and what to write."""
    parameters = list(signature.parameters.values())[1:]
    by_name = {each.name: each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    if not any(each.kind is each.VAR_KEYWORD for each in parameters):
        for given in sorted(initkwargs.keys() - by_name.keys()):
            close = get_close_matches(given, by_name, n=1)
            instead = f"did you mean {close[0]}?" if close else f"it takes {', '.join(by_name) or 'nothing'}"
            return f"{name}.__init__() does not take {given}: {instead}"
    for needed, parameter in by_name.items():
        if parameter.default is parameter.empty and needed not in initkwargs:
            if needed == "scope":
                return f"{name}.__init__() needs scope, which comes later: read self.scope in connect()"
            return f"{name}.__init__() needs {needed}: write {maker}({needed}=...)"
    return None


def check_hooks(consumer_class: type, framework: type, sync: bool, by_fastapi: bool) -> None:
    """Raise TypeError for an overridden method that the framework cannot call, before a client finds out.

    Args:
        consumer_class: the application's class.
        framework: the framework's class that it derives from; a method that this one lacks is the application's own.
        sync: whether its methods run in threads.
        by_fastapi: whether FastAPI fills the parameters of `connect()`.
    """
    for name, hook in HOOKS.items():
        function = inspect.getattr_static(consumer_class, name, None)
        if name == "disconnect" and hasattr(framework, HTTP_DISCONNECT.caller):
            hook = HTTP_DISCONNECT
        if (
            type(function) is not FunctionType
            or not hasattr(framework, name)
            or _definer(consumer_class, name) in framework.__mro__
            or _definer(consumer_class, hook.caller) not in framework.__mro__
        ):
            continue
        method = f"{consumer_class.__name__}.{name}"
        check_kind(f"{method}()", function, sync)
        if name == "connect":
            connecting.check(consumer_class, by_fastapi)
            continue
        _check_defaults(method, function)
        if takes(function) if name == "receive" else _takes_arguments(function, hook.arguments):
            continue
        given = "text_data=... or bytes_data=..." if name == "receive" else COUNTED[hook.arguments]
        raise TypeError(f"{method}{_without_types(function)} is called with {given}: {hook.advice}")


def _check_defaults(method: str, function: FunctionType) -> None:
    """Raise TypeError for a parameter that FastAPI is to fill, as it does for functions."""
    for name, parameter in inspect.signature(function).parameters.items():
        for marker in connecting.fastapis(parameter):
            why = f"FastAPI does not call it, so no {type(marker).__name__} fills {name}"
            raise TypeError(f"{method}(): {why}: call what you need in it")


def _without_types(function: FunctionType) -> inspect.Signature:
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=signature.empty)


def check_kind(called: str, function: FunctionType, sync: bool) -> None:
    """Raise TypeError for a plain function where an `async def` is needed, and the reverse, and for a generator."""
    if function.__code__.co_flags & (inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR):
        kind = "a `def`" if sync else "an `async def`"
        raise TypeError(f"{called} has a `yield`, so calling it runs nothing: write {kind} without one")
    if sync and inspect.iscoroutinefunction(function):
        raise TypeError(f"{called} must be a plain `def`: this is a sync consumer")
    if not sync and not inspect.iscoroutinefunction(function) and _returns_nothing(function):
        raise TypeError(f"{called} must be `async def`: this is an async consumer")


def _returns_nothing(function: FunctionType) -> bool:
    """Tell whether a function that returns cannot but return None; a plain one may return what can be awaited."""
    returns = False
    before: dis.Instruction | None = None
    for instruction in dis.get_instructions(function):
        if instruction.opname == "RETURN_CONST":
            nothing = instruction.argval is None
        elif instruction.opname == "RETURN_VALUE":
            is_none = before is not None and before.opname.startswith("LOAD_") and before.argval is None
            nothing = is_none and not instruction.is_jump_target
        else:
            before = instruction
            continue
        if not nothing:
            return False
        returns, before = True, instruction
    return returns


def _takes_arguments(function: FunctionType, count: int) -> bool:
    """Tell whether a method can be called with so many arguments; a decorator's own function is what is called."""
    for follow in (True, False):
        try:
            inspect.signature(function, follow_wrapped=follow).bind(*[None] * (count + 1))
        except TypeError:
            continue
        return True
    return False


def _definer(consumer_class: type, name: str) -> type:
    """Return the class that an attribute comes from."""
    return next((base for base in consumer_class.__mro__ if name in vars(base)), object)


@lru_cache(maxsize=1024)
def takes(function: Callable[..., Any]) -> frozenset[str]:
    """Return which of the frame arguments, text_data and bytes_data, `function` can be called with by name, alone."""
    names = frozenset({"text_data", "bytes_data"})
    try:
        signature = inspect.signature(function)
        called = inspect.signature(function, follow_wrapped=False)
    except ValueError:  # some built in functions have none
        return names
    # What a decorator wraps may take more, which the decorator's own function adds.
    return _bound(signature, names) or _bound(called, names)


def _bound(signature: inspect.Signature, names: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in names if _binds(signature, name))


def _binds(signature: inspect.Signature, name: str) -> bool:
    try:
        signature.bind(None, **{name: None})  # None stands for self
    except TypeError:
        return False
    return True


def check_background_function(function: object, is_async: bool = False) -> None:
    """Raise TypeError for what cannot run in the background; with `is_async`, a plain function that returns nothing."""
    if inspect.iscoroutine(function):
        function.close()  # it would warn that it was never awaited
    if not callable(function):
        raise TypeError(
            "start_background_task() takes an async function and its arguments, as in "
            f"start_background_task(self.push, 'news'), not {function!r}"
        )
    plain = getattr(function, "__func__", function)
    if is_async and type(plain) is FunctionType and not inspect.iscoroutinefunction(plain) and _returns_nothing(plain):
        name = plain.__qualname__.rpartition("<locals>.")[2]
        raise TypeError(f"start_background_task() takes an async function: {name}() must be `async def`")
