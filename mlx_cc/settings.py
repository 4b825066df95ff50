"""Strict settings: YAML checked against a struct, where a wrong key names the nearest right one.

A setting is declared once, as a struct field with its meaning; that declaration is the YAML
key, the command-line flag (`flags`) and the line in the docs.
"""

import difflib
import re
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import yaml

from mlx_cc.errors import UserError

S = TypeVar("S", bound=msgspec.Struct)


def read_settings(path: Path | str, kind: type[S], overrides: dict[str, Any] | None = None) -> S:
    """Read a YAML file as `kind`; `overrides` maps dotted keys (`training.learning_rate`) to values.

    Raises:
        UserError: the file is missing, is not YAML, has an unknown key or a value out of range.
    """
    path = Path(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise UserError(f"{path}: {(fault.strerror or str(fault)).lower()}. Check the path.") from fault
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: not YAML ({' '.join(str(fault).split())}).") from fault
    return with_overrides(kind, overrides or {}, str(path), tree)


def with_overrides(kind: type[S], overrides: dict[str, Any], where: str, tree: Any = None) -> S:
    """`kind` from a parsed document (or the defaults) with dotted keys set."""
    tree = {} if tree is None else tree
    for key, value in overrides.items() if isinstance(tree, dict) else ():
        *sections, last = key.split(".")
        branch = tree
        for section in sections:
            branch = branch.setdefault(section, {})
        branch[last] = value
    return to_settings(tree, kind, where)


def to_settings(tree: Any, kind: type[S], where: str) -> S:
    """Check a parsed document against `kind`."""
    if not isinstance(tree, dict):
        raise UserError(f"{where}: expected settings with keys, found {type(tree).__name__}.")
    _refuse_unknown(tree, kind, where, "")
    try:
        return msgspec.convert(tree, kind, strict=True)
    except msgspec.ValidationError as fault:
        message = re.sub(r" - at `\$\.?(.*?)`$", r" (\1)", str(fault))
        raise UserError(f"{where}: {message}. Mend that setting; `docs/commands.md` lists them all.") from fault


def _refuse_unknown(tree: dict[Any, Any], kind: type[msgspec.Struct], where: str, prefix: str) -> None:
    hints = get_type_hints(kind)
    for key, value in tree.items():
        if key not in hints:
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"Did you mean '{prefix}{near[0]}'?" if near else f"Known here: {', '.join(hints)}."
            raise UserError(f"{where}: no setting '{prefix}{key}'. {hint}")
        inner, sections = hints[key], {f"{prefix}{key}.": value}
        if get_origin(inner) is dict and isinstance(value, dict):
            inner, sections = get_args(inner)[1], {f"{prefix}{key}.{name}.": section for name, section in value.items()}
        for found in (inner, *get_args(inner)):
            if isinstance(found, type) and issubclass(found, msgspec.Struct):
                for name, section in sections.items():
                    if isinstance(section, dict):
                        _refuse_unknown(section, found, where, name)


class Setting(NamedTuple):
    """One leaf of a settings struct."""

    key: str
    """Dotted, as in YAML: `training.learning_rate`."""
    type: Any
    default: Any
    help: str


def leaves(kind: type[msgspec.Struct], prefix: str = "") -> Iterator[Setting]:
    """Every setting below `kind`, with its meaning."""
    hints = get_type_hints(kind, include_extras=True)
    for field in msgspec.structs.fields(kind):
        hint = hints[field.name]
        bare, meaning = hint, ""
        if get_origin(hint) is Annotated:
            bare, *extras = get_args(hint)
            meaning = next((e.description for e in extras if isinstance(e, msgspec.Meta) and e.description), "")
        if isinstance(bare, type) and issubclass(bare, msgspec.Struct):
            yield from leaves(bare, f"{prefix}{field.name}.")
            continue
        default = field.default
        if field.default_factory is not msgspec.NODEFAULT:
            default = field.default_factory()  # type: ignore[operator]
        yield Setting(prefix + field.name, bare, default, meaning)


def flags(kind: type[msgspec.Struct]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator that gives a click command one `--flag` per scalar setting of `kind`.

    The command receives them in one argument, `overrides`: dotted key -> value, only those given.
    """
    import click

    settings = [s for s in leaves(kind) if _click_type(s.type) is not None]
    named = {s.key.split(".")[-1]: s.key for s in settings}
    assert len(named) == len(settings), "two settings would share one flag"

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        def with_overrides(*args: Any, **given: Any) -> Any:
            overrides = {named[k]: given.pop(k) for k in list(given) if k in named}
            return command(*args, overrides={k: v for k, v in overrides.items() if v is not None}, **given)

        with_overrides.__doc__ = command.__doc__
        with_overrides.__name__ = command.__name__
        wrapped: Callable[..., Any] = with_overrides
        for s in reversed(settings):
            name = s.key.split(".")[-1]
            flag = "--" + name.replace("_", "-")
            wrapped = click.option(
                f"{flag}/--no-{flag[2:]}" if _click_type(s.type) is bool else flag,
                name,
                type=_click_type(s.type),
                default=None,
                help=f"{s.help} [{s.key}]",
            )(wrapped)
        return wrapped

    return decorate


def _click_type(hint: Any) -> Any:
    """The click type of a scalar setting; None for lists and maps, which are set in YAML only."""
    import click

    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
        return _click_type(hint)
    if get_origin(hint) is Literal:
        return click.Choice([str(a) for a in get_args(hint)])
    return hint if hint in (str, int, float, bool) else None
