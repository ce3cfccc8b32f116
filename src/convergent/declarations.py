"""Sections of a configuration as frozen dataclasses whose keys are declared once, with their meaning and limits.

From the declarations come the JSON schema, the check of what a user writes, and the one line that says what is wrong.
"""

import difflib
import json
import math
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import jsonschema

from convergent.errors import InputError

LARGEST = 2**53  # number of a key: plans count in float64, in which whole numbers up to it are exact


def key(doc: str, default: Any = MISSING, **limits: Any) -> Any:
    """Declare a key: its meaning, its default (none: required) and its limits in JSON schema words."""
    return field(default=default, metadata={"description": doc, **limits})


def build(cls: type, content: Any, source: str) -> Any:
    """A dataclass from plain YAML content, checked against its declarations.

    Raises
    ------
    InputError : for the first fault found, ``{source}: {path of the key}: {what is wrong}``
    """
    if content is None:
        raise InputError(f"{source}: empty")
    errors = sorted(
        _Validator(json_schema(cls)).iter_errors(content),
        key=lambda e: (len(e.absolute_path), e.validator != "additionalProperties", str(list(e.absolute_path))),
    )
    if errors:
        raise InputError(f"{source}: {_explain(errors[0])}")
    return _construct(cls, content)


def json_schema(cls: type) -> dict[str, Any]:
    """The JSON schema of a dataclass of declared keys; config/schema.json is that of `config.Experiment`."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_schema_of(cls)}


def listed(names: Iterable[Any]) -> str:
    """Names as a line tells them."""
    return ", ".join(map(str, names)) or "none"


def closest(name: str, known: Iterable[Any]) -> str:
    """The end of a line that tells the known name most like a wrong one; empty where none is."""
    close = difflib.get_close_matches(name, [str(k) for k in known], n=1)
    return f"; did you mean {close[0]}?" if close else ""


def _schema_of(annotation: Any) -> dict[str, Any]:
    """JSON schema of a type annotation."""
    if is_dataclass(annotation):
        hints = get_type_hints(annotation)
        properties = {f.name: {**_schema_of(hints[f.name]), **f.metadata} for f in fields(annotation)}
        required = [f.name for f in fields(annotation) if f.default is MISSING]
        return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    if get_origin(annotation) in (Union, types.UnionType):
        options = [_schema_of(option) for option in get_args(annotation)]
        if all("type" in option for option in options):  # the limits of one type say nothing of another
            limits = {name: limit for option in options for name, limit in option.items()}
            return limits | {"type": [option["type"] for option in options]}
        return {"anyOf": options}
    if get_origin(annotation) is Literal:
        return {"enum": list(get_args(annotation))}
    if get_origin(annotation) is tuple:
        return {"type": "array", "items": _item(get_args(annotation)[0])}
    if get_origin(annotation) is Mapping:
        content = get_args(annotation)[1]
        if content is Any:
            return {"type": "object"}
        return {"type": "object", "additionalProperties": _schema_of(content) | {"minItems": 1, "uniqueItems": True}}
    if annotation in (int, float):
        return {"type": "integer" if annotation is int else "number", "maximum": LARGEST}
    return {"type": {str: "string", bool: "boolean", type(None): "null"}[annotation]}


def _is_integer(checker: Any, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(checker: Any, value: Any) -> bool:
    return _is_integer(checker, value) or (isinstance(value, float) and math.isfinite(value))


def _plain(validator: Any, wanted: bool, value: Any, schema: Any) -> Iterator[jsonschema.ValidationError]:
    """A keyword of ours, for what has no schema: a recipe is handed over as JSON, which has no dates and cycles."""
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == value
    except (TypeError, ValueError, RecursionError) as error:
        yield jsonschema.ValidationError(f"{error}; it may hold texts, numbers, lists and mappings")
    else:
        if not same:
            yield jsonschema.ValidationError("the keys of a mapping are to be texts")


# JSON schema takes 4.0 for an integer; a seed or a number of images is written without a point. NaN is no number.
_Validator = jsonschema.validators.extend(
    jsonschema.Draft202012Validator,
    validators={"plain": _plain},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": _is_integer, "number": _is_number}
    ),
)


def _item(annotation: Any) -> dict[str, Any]:
    """Every list of names holds names that become parts of paths; every list of numbers holds seeds."""
    schema = _schema_of(annotation)
    return schema | {"minimum": 0} if annotation is int else schema


def _construct(annotation: Any, content: Any) -> Any:
    if is_dataclass(annotation):
        hints = get_type_hints(annotation)
        return annotation(**{name: _construct(hints[name], value) for name, value in content.items()})  # type: ignore[operator]
    if get_origin(annotation) is tuple:
        return tuple(_construct(get_args(annotation)[0], item) for item in content)
    return content


# What YAML calls the types of JSON schema.
WORDS = {
    "array": "list",
    "boolean": "true or false",
    "integer": "whole number",
    "null": "nothing",
    "number": "number",
    "object": "mapping",
    "string": "text",
}


def _explain(error: jsonschema.ValidationError) -> str:
    """A fault as one line: the key, what was found, what would be right."""
    where = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path).lstrip(".")
    found: Any = error.instance
    expected: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "additionalProperties":
            known = list(schema["properties"])
            unknown = sorted(str(name) for name in found if name not in known)
            what = f"unknown key {unknown[0]!r}; the keys are {listed(known)}{closest(unknown[0], known)}"
        case "required":
            what = f"the key {next(name for name in expected if name not in found)!r} is missing"
        case "type":
            names = " or ".join(WORDS[name] for name in ([expected] if isinstance(expected, str) else expected))
            what = f"{found!r} is no {names}"
            number = re.fullmatch(r"([+-]?\d+(?:\.\d*)?)[eE]([+-]?\d+)", found) if isinstance(found, str) else None
            if "number" in names and number:
                what += f"; YAML reads it as text, write {float(number[1])}e{int(number[2]):+d}"
        case "enum":
            what = f"{found!r} is none of {listed(expected)}{closest(str(found), [str(e) for e in expected])}"
        case "uniqueItems":
            what = f"{next(item for i, item in enumerate(found) if item in found[:i])!r} stands twice"
        case "minItems":
            what = f"{len(found)} given, at least {expected} needed"
        case "minimum" | "exclusiveMinimum":
            what = f"{found!r} is {'below' if error.validator == 'minimum' else 'not above'} {expected}"
        case "maximum" | "exclusiveMaximum":
            what = f"{found!r} is {'above' if error.validator == 'maximum' else 'not below'} {expected}"
        case "anyOf":
            inner = [e for e in error.context if len(e.absolute_path) > len(error.absolute_path)]
            if inner:
                return _explain(inner[0])
            what = f"{found!r} is not: {schema['description']}"
        case "pattern":
            what = f"{found!r} may hold only lower-case letters, digits and _, 80 at most"
        case _:
            what = " ".join(error.message.split())
    return f"{where}: {what}" if where else what
