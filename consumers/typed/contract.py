"""What one class of typed consumers takes and sends, worked out once, when it is made an application.

What describes a class to others, as a document or as types of another language, reads it from here.
"""

import inspect
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import FunctionType, NoneType, UnionType
from typing import Annotated, Any, Never, NoReturn, Union, get_args, get_origin

from pydantic import BaseModel

from .._checks.classes import check_kind
from .._checks.misspelt import is_read
from .._connection.enforce import BURST_SECONDS
from .._connection.framework import is_framework
from ..consumer import SyncConsumer
from .handlers import Mark, hints_of, marked_methods, unmarked_methods
from .incoming import Incoming, Reader
from .models import (
    TAG,
    Choice,
    Model,
    choices_of,
    field_called,
    require_distinct,
    require_output_tags,
    sent_field_called,
)

_IN_ORDER = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)

NOTHING: tuple[Any, ...] = (NoneType, Never, NoReturn)
"""What a handler without an answer may say that it returns."""

_KEY = re.compile(r"[\w.-]+")  # nothing that JSON may write in several ways, but for escapes with \u

_KEPT = "_own_contract"

TO = "to"
"""The key of an answer that says which message it is for."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A method that handles messages.

    Attributes:
        name: the method's.
        choices: what it takes.
        answers: the models that it says it returns; None if it does not say.
        may_return_nothing: whether it may return None, which acknowledges a message with an id.
        takes_event: whether it gets the layer's event, too.
        interval: seconds that each message of the client's takes of its rate limit; 0.0 for none.
        slack: seconds of that which may be taken in advance.
    """

    name: str
    choices: tuple[Choice, ...]
    answers: tuple[Model, ...] | None
    may_return_nothing: bool
    takes_event: bool
    interval: float
    slack: float

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that it takes."""
        return tuple(model for choice in self.choices for model in choice.models)


class Contract:
    """What one class takes and sends.

    Args:
        consumer_class: the class.

    Attributes:
        consumer_class: the class.
        id_key: the key of the envelope that a message's id stands under.
        handlers: the methods that handle the client's messages, in the order of their names.
        event_handlers: those that handle what is sent to groups.
        sends: what the client gets, beside the framework's own messages.
        sent: the models of that.
        answers: those of them that a handler may return.
        sent_tags: their types.
        handler_of: what handles a model of the client's.
        event_handler_of: what handles a model that was sent to a group.
        event_tags: the types of what the event handlers take.
        incoming: reads the client's messages.
        events: reads what is sent to groups.

    Raises:
        TypeError: there is a mistake in the class; the message says what to write.
        ValueError: an option has a value that cannot work.
    """

    def __init__(self, consumer_class: Any) -> None:
        self.consumer_class = consumer_class
        self._name = consumer_class.__name__
        self.id_key = _checked_id_key(consumer_class)
        _check_numbers(consumer_class)
        self.sends = self._declared(consumer_class.sends)
        self.sent = frozenset(model for choice in self.sends for model in choice.models)
        self.answers = frozenset(model for model in self.sent if sent_field_called(model, TO) is None)
        self.sent_tags = frozenset(tag for choice in self.sends for tag in choice.tags)
        found = [(mark, self._handler(name, method, mark)) for name, method, mark in self._methods()]
        self.handlers = tuple(handler for mark, handler in found if mark.source == "client")
        self.event_handlers = tuple(handler for mark, handler in found if mark.source == "layer")
        for handlers in (self.handlers, self.event_handlers):
            require_distinct(
                ((choice, f"{self._name}.{handler.name}()") for handler in handlers for choice in handler.choices),
                self._name,
            )
        self._check_envelope()
        self._check_unmarked({model for _, handler in found for model in handler.models})
        self.handler_of = _by_model(self.handlers)
        self.event_handler_of = _by_model(self.event_handlers)
        self.event_tags = frozenset(
            tag for handler in self.event_handlers for choice in handler.choices for tag in choice.tags
        )
        self.incoming = Incoming(_choices(self.handlers), self.id_key)
        self.events = Reader(_choices(self.event_handlers))

    def nearest_handler(self, message: BaseModel, of_event: bool = False) -> Handler:
        """Return what handles a model that a validator has put in the place of another.

        Raises:
            TypeError: nothing does.
        """
        handlers = self.event_handler_of if of_event else self.handler_of
        found = next((handlers[base] for base in type(message).__mro__ if base in handlers), None)
        if found is None:
            raise TypeError(f"{self._name}: a validator returned a {type(message).__name__}, which no handler takes")
        return found

    def refuse_unsent(self, message: object, what: str) -> NoReturn:
        """Raise TypeError for what the class does not say that it sends.

        Args:
            message: what is to be sent.
            what: what has made it, for the error.
        """
        if not isinstance(message, BaseModel):
            other = type(message).__name__
            raise TypeError(f"{self._name}: {what} is a {other}, and no model: return or send one of `sends`")
        model = type(message)
        raise TypeError(f"{self._name}: {what} is a {model.__name__}: {self._how_to_declare([model])}")

    def refuse_answer(self, message: object, handler: str) -> NoReturn:
        """Raise TypeError for what cannot be an answer, though a handler, given by its name, has returned it."""
        if type(message) not in self.sent:
            self.refuse_unsent(message, f"what {handler}() has returned")
        raise TypeError(self._why_no_answer(f"{self._name}.{handler}()", type(message).__name__))

    def require_without(self, key: str) -> None:
        """Raise TypeError if something that the class sends has a key that says where its client is."""
        for model in self.sent:
            field = sent_field_called(model, key)
            if field is not None:
                raise TypeError(
                    f"{model.__name__}.{field}: {self._name}.join() has the group's messages say under {key!r} where "
                    "the client is: rename the field"
                )

    # How it is worked out

    def _declared(self, sends: Any) -> tuple[Choice, ...]:
        if sends is None:
            return ()
        where = f"{self._name}.sends"
        if isinstance(sends, list | tuple | set | frozenset):
            raise TypeError(f"{where} must be a model, or a union of models such as Said | Left, not {sends!r:.200}")
        choices = choices_of(sends, where)
        require_output_tags([model for choice in choices for model in choice.models], where)
        return choices

    def _methods(self) -> Iterable[tuple[str, FunctionType, Mark]]:
        is_sync = issubclass(self.consumer_class, SyncConsumer)
        for name, method, mark in marked_methods(self.consumer_class):
            called = f"{self._name}.{name}()"
            owner = next(
                (base for base in self.consumer_class.__mro__ if is_framework(base) and name in vars(base)), None
            )
            if owner is not None:
                raise TypeError(f"{called} would replace {owner.__name__}.{name}: give the handler another name")
            check_kind(called, method, is_sync)
            yield name, method, mark

    def _handler(self, name: str, method: FunctionType, mark: Mark) -> Handler:
        called = f"{self._name}.{name}()"
        parameters = list(inspect.signature(method).parameters.values())[1:]
        needed = [each for each in parameters if each.default is each.empty and each.kind not in _REST]
        first = parameters[0] if parameters else None
        most = 1 if mark.source == "client" else 2
        if first is None or len(needed) > most or first.kind not in _IN_ORDER:
            also = "" if most == 1 else f", or {name}(self, message: Say, event: dict[str, Any])"
            raise TypeError(f"{called} is called with one message: write {name}(self, message: Say){also}")
        hints = hints_of(called, method, mark)
        if first.name not in hints:
            raise TypeError(
                f"{called}: {first.name} has no annotation, which says what it takes: write {first.name}: Say"
            )
        choices = choices_of(hints[first.name], called)
        returned = hints.get("return", Any)
        answers = self._answers(called, returned, mark)
        may_return_nothing = returned is Any or NoneType in _flat(returned)
        interval = 0.0 if mark.rate_limit is None else 1 / mark.rate_limit
        burst = mark.rate_burst or max(1, math.ceil(BURST_SECONDS * (mark.rate_limit or 0)))
        takes_event = mark.source == "layer" and len(parameters) > 1 and parameters[1].kind in _IN_ORDER
        return Handler(name, choices, answers, may_return_nothing, takes_event, interval, (burst - 0.5) * interval)

    def _answers(self, called: str, annotation: Any, mark: Mark) -> tuple[Model, ...] | None:
        """Return the models that a handler says it returns; None if it does not say."""
        if annotation is Any:
            return None
        models = [each for each in _flat(annotation) if each not in NOTHING]
        if models and mark.source == "layer":
            raise TypeError(
                f"{called} handles an event, which nobody waits to be answered: send_message() what it returns"
            )
        for model in models:
            if not (isinstance(model, type) and issubclass(model, BaseModel)):
                raise TypeError(f"{called} returns {model!r:.200}: a handler returns one of `sends`, or None")
        undeclared = [model for model in models if model not in self.sent]
        if undeclared:
            names = " | ".join(model.__name__ for model in undeclared)
            raise TypeError(f"{called} returns {names}: {self._how_to_declare(undeclared)}")
        for model in models:
            if model not in self.answers:
                raise TypeError(self._why_no_answer(called, model.__name__))
        return tuple(models)

    def _why_no_answer(self, called: str, model: str) -> str:
        return f"{called} returns a {model}, whose field {TO!r} an answer sets: rename the field"

    def _how_to_declare(self, models: Iterable[Model]) -> str:
        names = [model.__name__ for choice in self.sends for model in choice.models]
        names += [model.__name__ for model in models]
        return f"declare it, write sends = {' | '.join(dict.fromkeys(names))} in {self._name}"

    def _check_envelope(self) -> None:
        for handler in self.handlers:
            for model in handler.models:
                key = field_called(model, self.id_key)
                if key is not None:
                    raise TypeError(
                        f"{model.__name__}.{key}: {self.id_key!r} is the envelope's, which an answer is for: rename "
                        f'the field, or write another key in {self._name}, such as id_key = "message_id"'
                    )

    def _check_unmarked(self, handled: set[Model]) -> None:
        """Raise TypeError for a method that takes a model as a handler does, if nothing handles the model."""
        for name, owner, model in unmarked_methods(self.consumer_class):
            if model not in handled and field_called(model, TAG) and not is_read(name, self.consumer_class):
                raise TypeError(
                    f"{owner}.{name}() takes the model {model.__name__} and nothing here calls it: write @on above it, "
                    f"or @on_event for what is sent to groups; if code elsewhere calls it, name it _{name}()"
                )


def _choices(handlers: Iterable[Handler]) -> list[Choice]:
    return [choice for handler in handlers for choice in handler.choices]


def _by_model(handlers: Iterable[Handler]) -> dict[Model, Handler]:
    return {model: handler for handler in handlers for model in handler.models}


def _flat(annotation: Any) -> list[Any]:
    while hasattr(annotation, "__value__"):
        annotation = annotation.__value__
    origin = get_origin(annotation)
    if origin is Annotated:
        return _flat(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [each for member in get_args(annotation) for each in _flat(member)]
    return [annotation]


def _checked_id_key(consumer_class: Any) -> str:
    key = consumer_class.id_key
    if not isinstance(key, str) or not _KEY.fullmatch(key) or key in (TAG, TO):
        raise ValueError(f'{consumer_class.__name__}.id_key must be a key such as "message_id", not {key!r:.80}')
    return key


def _check_numbers(consumer_class: Any) -> None:
    name, most, notice = consumer_class.__name__, consumer_class.max_invalid, consumer_class.expires_notice
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise ValueError(f"{name}.max_invalid must be an int of 1 or more, not {most!r}")
    if isinstance(notice, bool) or not isinstance(notice, int | float) or not 0 <= notice < 10**9:
        raise ValueError(f"{name}.expires_notice must be a number of seconds, not {notice!r}")


def contract_of(consumer_class: type) -> Contract:
    """Return the contract of a class, made the first time and kept by the class itself.

    Raises:
        TypeError, ValueError: as `Contract`.
    """
    contract: Contract | None = vars(consumer_class).get(_KEPT)
    if contract is None:
        contract = Contract(consumer_class)
        setattr(consumer_class, _KEPT, contract)
    return contract
