"""The JSON Schemas of what consumers take and send."""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, computed_field

from consumers.typed import TypedConsumer, on
from consumers.typed.contract import contract_of
from consumers.typed.schemas import IN, OUT, Generator, Schemas, schemas_of

from .documents import other, sample


def schemas(takes: Any, sends: Any = None) -> Schemas:
    async def handle(self: Any, message: Any) -> None: ...

    handle.__annotations__ = {"message": takes, "return": None}
    handle.__qualname__ = "handle"
    return schemas_of([contract_of(type("Chat", (TypedConsumer,), {"handle": on(handle), "sends": sends}))])


class Both(BaseModel):
    """Goes in and out."""

    type: Literal["both"] = "both"
    price: Decimal = Decimal(1)
    first_name: str = Field("", alias="firstName")
    hidden: int = Field(0, exclude=True)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def twice(self) -> Decimal:
        return 2 * self.price


def test_what_comes_in_may_leave_out_what_has_a_default_but_for_its_type() -> None:
    schema = schemas(Both).of(Both, IN)
    assert schema["required"] == ["type"]
    assert schema["description"] == "Goes in and out."
    assert schema["properties"].keys() == {"type", "price", "firstName", "hidden"}
    assert {each["type"] for each in schema["properties"]["price"]["anyOf"]} == {"number", "string"}


def test_what_goes_out_has_all_its_fields() -> None:
    schema = schemas(Both, Both).of(Both, OUT)
    assert set(schema["required"]) == {"type", "price", "firstName", "twice"}
    assert schema["properties"]["price"]["type"] == "string"


def test_models_of_one_name_have_schemas_of_their_own() -> None:
    found = schemas(sample.Note, other.Note | sample.Note)
    names = [found.names[key] for key in ((sample.Note, IN), (sample.Note, OUT), (other.Note, OUT))]
    assert len(set(names)) == 3
    assert [found.definitions[name]["properties"]["type"]["const"] for name in names] == ["note", "note", "other.note"]


def test_all_references_lead_to_a_definition() -> None:
    found = schemas_of([contract_of(sample.Wide), contract_of(sample.Numbered)])

    def references(value: Any) -> set[str]:
        if isinstance(value, dict):
            own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return own.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    wanted = references(found.definitions)
    assert wanted
    assert wanted <= {f"#/$defs/{name}" for name in found.definitions}


def test_a_discriminator_within_a_message_is_required() -> None:
    found = schemas(sample.Shapes)
    assert (
        "form" in next(found.definitions[name] for name in found.definitions if name.startswith("Circle"))["required"]
    )


class ByChoice(BaseModel):
    type: Literal["choice"] = Field("choice", validation_alias=AliasChoices("sort", "type"))


class ByName(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    type: Literal["name"] = Field("name", validation_alias="sort")


@pytest.mark.parametrize("model", [ByChoice, ByName])
def test_the_type_is_called_so_whatever_else_it_may_be_called(model: Any) -> None:
    schema = schemas(model).of(model, IN)
    assert schema["properties"].keys() == {"type"}
    assert schema["required"] == ["type"]


def test_a_field_without_a_schema_is_an_error_that_names_the_model() -> None:
    class Callback(BaseModel):
        type: Literal["callback"] = "callback"
        function: Callable[[int], int]

    with pytest.raises(TypeError, match=r"Callback has a field that JSON Schema cannot describe: .*Callable"):
        schemas(sample.Given | Callback)


def test_a_union_with_a_discriminator_of_its_own_has_a_schema_for_each_model() -> None:
    class A(BaseModel):
        type: Literal["shape"] = "shape"
        form: Literal["a"] = "a"

    class B(BaseModel):
        type: Literal["shape"] = "shape"
        form: Literal["b"] = "b"

    found = schemas(Annotated[A | B, Field(discriminator="form")])
    assert [found.of(model, IN)["properties"]["form"]["const"] for model in (A, B)] == ["a", "b"]
    assert all("form" in found.of(model, IN)["required"] for model in (A, B))


def test_what_json_has_not_is_in_no_schema() -> None:
    class Limits(BaseModel):
        type: Literal["limits"] = "limits"
        most: float = Field(math.inf, gt=-math.inf, examples=[math.nan, 1.5])
        several: dict[str, float] = {"a": -math.inf, "b": 1}

    found = schemas(Limits, Limits)
    json.dumps(found.definitions, allow_nan=False)
    properties = found.of(Limits, IN)["properties"]
    assert properties["most"] == {"examples": [1.5], "title": "Most", "type": "number"}
    assert properties["several"]["default"] == {"a": None, "b": 1}
    alone = TypeAdapter(Annotated[float, Field(lt=math.inf)])  # as the parameter of a query
    assert alone.json_schema(schema_generator=Generator) == {"type": "number"}
