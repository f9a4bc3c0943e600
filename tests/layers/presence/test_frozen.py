"""Dicts and lists that refuse changes, and are JSON all the same."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from consumers.layers._copy import choose_copier
from consumers.layers._frozen import FrozenDict, FrozenList, frozen

PLAIN: Any = {"a": [1, {"b": [None, True, 2.5]}], "c": {}, "d": []}


def delete(value: Any, key: Any) -> None:
    del value[key]


CHANGES_OF_A_DICT: list[Callable[[Any], object]] = [
    lambda value: value.__setitem__("a", 1),
    lambda value: delete(value, "a"),
    lambda value: value.update(a=1),
    lambda value: value.setdefault("a", 1),
    lambda value: value.pop("a"),
    lambda value: value.pop("not there", None),
    lambda value: value.popitem(),
    lambda value: value.clear(),
    lambda value: value.__ior__({"a": 1}),
]

CHANGES_OF_A_LIST: list[Callable[[Any], object]] = [
    lambda value: value.__setitem__(0, 1),
    lambda value: value.__setitem__(slice(None), []),
    lambda value: delete(value, 0),
    lambda value: delete(value, slice(None)),
    lambda value: value.append(1),
    lambda value: value.extend([1]),
    lambda value: value.insert(0, 1),
    lambda value: value.pop(),
    lambda value: value.remove(1),
    lambda value: value.clear(),
    lambda value: value.sort(),
    lambda value: value.reverse(),
    lambda value: value.__iadd__([1]),
    lambda value: value.__imul__(2),
]


@pytest.mark.parametrize("change", CHANGES_OF_A_DICT)
def test_a_dict_refuses_every_change(change: Callable[[Any], object]) -> None:
    value = FrozenDict(a=1, b=2)
    with pytest.raises(TypeError, match=r"this dict is shared by all members of the group: copy it with dict\(\)"):
        change(value)
    assert value == {"a": 1, "b": 2}


@pytest.mark.parametrize("change", CHANGES_OF_A_LIST)
def test_a_list_refuses_every_change(change: Callable[[Any], object]) -> None:
    value = FrozenList([3, 1, 2])
    with pytest.raises(TypeError, match=r"this list is shared by all members of the group: copy it with list\(\)"):
        change(value)
    assert value == [3, 1, 2]


def test_every_method_that_changes_a_plain_one_is_refused() -> None:
    for plain, refusing in ((dict, FrozenDict), (list, FrozenList)):
        harmless = set(dir(object)) | {"__init__", "__class_getitem__", "copy", "fromkeys", "get", "keys", "values"}
        harmless |= {"items", "count", "index", "__contains__", "__getitem__", "__iter__", "__reversed__", "__len__"}
        harmless |= {"__or__", "__ror__", "__add__", "__mul__", "__rmul__"}
        for name in set(dir(plain)) - harmless:
            assert getattr(refusing, name) is refusing._refuse, name


def test_a_value_is_frozen_however_deep_and_equal() -> None:
    value = frozen(PLAIN)
    assert value == PLAIN
    assert json.dumps(value) == json.dumps(PLAIN)
    assert isinstance(value["a"][1]["b"], FrozenList)
    assert isinstance(value["c"], FrozenDict)


def test_a_copy_is_the_value_itself_and_a_plain_one_can_be_made() -> None:
    value = frozen(PLAIN)
    for each in (value, value["a"]):
        assert copy.copy(each) is each
        assert copy.deepcopy(each) is each
        assert pickle.loads(pickle.dumps(each)) == each
        assert type(pickle.loads(pickle.dumps(each))) is type(each)
    mine = dict(value)
    mine["a"] = list(value["a"])
    mine["a"].append(1)
    assert value == PLAIN


def test_a_message_with_frozen_values_is_copied_without_looking_into_them() -> None:
    message = {"type": "test", "members": frozen(PLAIN), "leaves": frozen([])}
    copy_one, original = choose_copier(message)
    assert copy_one is dict.copy
    assert original is message
