"""Strict settings: YAML checked against a struct. An error names all faults of a file, and the nearest right keys.

A setting is declared once, as a struct field with its meaning. That declaration is the YAML key, the command-line flag
(`flags`) and the line in the docs.
"""

import difflib
import functools
import re
import reprlib
import types
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from mlx_cc.errors import UserError

S = TypeVar("S", bound=msgspec.Struct)

# YAML

DEEPEST = 50
"""Levels of nesting that a file may have. PyYAML calls itself at each level; our own files have five."""
TAG = "tag:yaml.org,2002:"
NUMBERS = {
    "int": r"[-+]?(0b[01_]+|0x[\da-fA-F_]+|0[0-7_]*|[1-9][\d_]*)",
    "float": r"[-+]?((\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+|\.(?i:inf))|\.(?i:nan)",
}
"""How numbers are written. PyYAML keeps to YAML 1.1, where 2e-5 is text, 10:30 a number and 2025-03-10 a date."""


class UniqueKeys:
    """Mixin for a loader of PyYAML that refuses a mapping with the same key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Called by PyYAML."""
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if (name := str(key.value)) in lines:
                fault = f"key '{name}' is there twice, first in line {lines[name]}"
                raise yaml.MarkedYAMLError(problem=fault, problem_mark=key.start_mark)
            lines[name] = key.start_mark.line + 1
        return super().construct_mapping(node, deep)  # type: ignore[misc]


class _Loader(UniqueKeys, yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"more than {DEEPEST} levels deep", problem_mark=event.start_mark)
        node: Any = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(event, yaml.AliasEvent) and not _is_flat(node):
            fault = f"*{event.anchor} repeats values that hold others; write them out"
            raise yaml.MarkedYAMLError(problem=fault, problem_mark=event.start_mark)
        return node


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.removeprefix(TAG) not in (*NUMBERS, "timestamp")]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _name, _pattern in NUMBERS.items():
    _Loader.add_implicit_resolver(TAG + _name, re.compile(f"({_pattern})$"), list("-+.0123456789"))


def _is_flat(node: Any) -> bool:
    """Whether a finished node holds only scalars, so that repeating it can't make a document grow without limit."""
    if isinstance(node, yaml.ScalarNode):
        return True
    values = [value for _, value in node.value] if isinstance(node, yaml.MappingNode) else node.value
    return node.end_mark is not None and all(isinstance(value, yaml.ScalarNode) for value in values)


def read_yaml(path: Path | str) -> Any:
    """The document in a YAML file; None in an empty one.

    Raises:
        UserError: the file is missing or is not YAML, or has a key twice, deep nesting or aliases of nested values.
    """
    try:
        return yaml.load(Path(path).read_bytes(), Loader=_Loader)
    except OSError as fault:
        raise UserError(f"{path}: {(fault.strerror or str(fault)).lower()}. Check the path.") from fault
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        raise UserError(f"{path}, line {line}: not YAML as it should be: {fault.problem}. Fix that line.") from fault
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as fault:  # the latter three of a wrong !!tag
        raise UserError(f"{path}: not YAML ({' '.join(str(fault).split())}). Save it as UTF-8 text.") from fault


# Settings


def read_settings(path: Path | str | None, kind: type[S], overrides: dict[str, Any] | None = None) -> S:
    """Read a YAML file as `kind` (None: the defaults); `overrides` maps dotted keys (`training.seed`) to values.

    Raises:
        UserError: the file is missing or not YAML, or has unknown keys or wrong values; all of them are named.
    """
    return with_overrides(kind, overrides or {}, str(path or "flags"), None if path is None else read_yaml(path))


def with_overrides(kind: type[S], overrides: dict[str, Any], where: str, document: Any = None) -> S:
    """`kind` from a parsed document (or the defaults) with dotted keys set.

    Raises:
        UserError: there are unknown keys or wrong values; all of them are named.
    """
    document = {} if document is None else document
    if not isinstance(document, dict):
        raise UserError(f"{where}: expected settings with keys, found {type(document).__name__}.")
    hints = get_type_hints(kind)
    empty = {key for key, value in document.items() if value is None and types.NoneType not in _options(hints.get(key))}
    document = {key: value for key, value in document.items() if key not in empty or key not in hints}
    for key, value in overrides.items():
        section, _, last = key.rpartition(".")
        branch = document.setdefault(section, {}) if section else document
        if isinstance(branch, dict):
            branch[last] = value
    if faults := _faults(document, kind, "", kind):
        raise UserError(f"{where}: {' Also: '.join(faults)}")
    return msgspec.convert(document, kind, strict=True)


def _faults(value: Any, hint: Any, key: str, root: type[msgspec.Struct]) -> list[str]:
    """What is wrong with a value and all that it holds: a sentence or two each."""
    faults: list[str] = []
    for name, inner, expected in _parts(value, hint):
        dotted = f"{key}{name}".removeprefix(".")
        faults += _faults(inner, expected, dotted, root) if expected else [_unknown(dotted, hint, root)]
    if faults:
        return faults
    try:
        msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError as fault:
        message = str(fault).partition(" - at `$")[0].replace(" - at `key` in `$`", ", as a key")
        if choices := _choices(hint):
            message = f"Expected one of {', '.join(map(str, choices))}"
        quotes = message.startswith("Expected `str") and not isinstance(value, str | dict | list)
        return [f"{key} is {reprlib.repr(value)}. {message}.{' Put it in quotes.' if quotes else ''}"]
    return []


def _parts(value: Any, hint: Any) -> Iterator[tuple[str, Any, Any]]:
    """(`.name` or `[place]`, value, its type or None for an unknown name) of what a value holds."""
    for option in _options(hint):
        origin, arguments = get_origin(option), get_args(option)
        if isinstance(value, dict) and _is_struct(option):
            hints = get_type_hints(option, include_extras=True)
            yield from ((f".{name}", inner, hints.get(name)) for name, inner in value.items())
        elif isinstance(value, dict) and origin is dict:
            yield from ((f".{name}", inner, arguments[1]) for name, inner in value.items())
        elif isinstance(value, list) and origin is tuple and arguments[-1] is Ellipsis:
            yield from ((f"[{place}]", inner, arguments[0]) for place, inner in enumerate(value))


def _unknown(key: str, hint: Any, root: type[msgspec.Struct]) -> str:
    section, _, name = key.rpartition(".")
    prefix = f"{section}." if section else ""
    beside = [field for option in _options(hint) if _is_struct(option) for field in get_type_hints(option)]
    anywhere = {setting.key.rpartition(".")[2]: setting.key for setting in fields_of(root)}
    if name in anywhere:
        return f"no setting '{key}'. Did you mean '{anywhere[name]}'?"
    if near := difflib.get_close_matches(name, beside, n=1):
        return f"no setting '{key}'. Did you mean '{prefix}{near[0]}'?"
    if near := difflib.get_close_matches(name, anywhere, n=1):
        return f"no setting '{key}'. Did you mean '{anywhere[near[0]]}'?"
    return f"no setting '{key}'. There are {', '.join(prefix + field for field in beside)}."


def _options(hint: Any) -> tuple[Any, ...]:
    """A type without its annotations; of a union, all its types."""
    if get_origin(hint) is Annotated:
        return _options(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(option for part in get_args(hint) for option in _options(part))
    return (hint,)


def _choices(hint: Any) -> tuple[Any, ...]:
    return next((get_args(option) for option in _options(hint) if get_origin(option) is Literal), ())


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


class Setting(NamedTuple):
    """A field of a settings struct that holds a value, not a section."""

    key: str
    """Dotted, as in YAML: `training.learning_rate`."""
    type: Any
    default: Any
    help: str


def fields_of(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[Setting]:
    """Every setting below `kind`, with its meaning."""
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        hint = hints[field.name]
        bare, meaning = hint, ""
        if get_origin(hint) is Annotated:
            bare, *extras = get_args(hint)
            meaning = next((e.description for e in extras if isinstance(e, msgspec.Meta) and e.description), "")
        if _is_struct(bare):
            yield from fields_of(bare, f"{prefix}{field.name}.")
            continue
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()  # type: ignore[operator]
        yield Setting(prefix + field.name, bare, default, meaning)


def flags(
    kind: type[msgspec.Struct], shown: Collection[str] = (), without: Collection[str] = ()
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a click command one `--flag` per scalar setting of `kind`.

    The command receives them in one argument, `overrides`: dotted key -> value, only those given.

    Args:
        shown: names of the settings that `--help` lists; empty means all.
        without: dotted keys that get no flag.
    """
    import click

    settings = [s for s in fields_of(kind) if _click_type(s.type) is not None and s.key not in without]
    keys = {s.key.rpartition(".")[2]: s.key for s in settings}
    assert len(keys) == len(settings), "two settings would share one flag"

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def wrapped(*args: Any, **given: Any) -> Any:
            overrides = {key: value for name, key in keys.items() if (value := given.pop(name)) is not None}
            return command(*args, overrides=overrides, **given)

        decorated: Callable[..., Any] = wrapped
        for s, name in reversed(list(zip(settings, keys, strict=True))):
            kind, flag = _click_type(s.type), name.replace("_", "-")
            decorated = click.option(
                f"--{flag}/--no-{flag}" if kind is bool else f"--{flag}",
                name,
                type=kind,
                default=None,
                hidden=bool(shown) and name not in shown,
                help=f"{s.help} [{s.key}]",
            )(decorated)
        return decorated

    return decorate


def _click_type(hint: Any) -> Any:
    """The click type of a scalar setting; None for lists and maps, which are set in YAML only."""
    import click

    if choices := _choices(hint):
        return click.Choice([str(choice) for choice in choices])
    return next((option for option in _options(hint) if option in (str, int, float, bool)), None)
