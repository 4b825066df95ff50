"""JSON schemas of the settings files, for editors that check and complete YAML."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import msgspec

from mlx_cc.centre import Centre
from mlx_cc.ingest.contacts_map import ContactMap
from mlx_cc.ingest.jsonl_map import ColumnMap
from mlx_cc.train.settings import TrainSettings

FILES: dict[str, type[msgspec.Struct]] = {
    "run": TrainSettings,
    "centre": Centre,
    "map": ColumnMap,
    "contact-map": ContactMap,
}
"""Kind of settings file -> what it is read as."""


def schema(file: str) -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of a kind of settings file, each key with its meaning."""
    document = msgspec.json.schema(FILES[file])
    for struct in set(_structs(FILES[file])):
        properties = document["$defs"][struct.__name__]["properties"]
        for name, meaning in _meanings(struct).items():
            properties[name].setdefault("description", meaning)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **document}


def _structs(hint: Any) -> Iterator[type[msgspec.Struct]]:
    """The structs that a type is made of, itself included."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        yield hint
        for inner in get_type_hints(hint).values():
            yield from _structs(inner)
    for inner in get_args(hint):
        yield from _structs(inner)


def _meanings(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Field -> the string below it in the source."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(struct))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        field.target.id: " ".join(below.value.value.split())
        for field, below in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }
