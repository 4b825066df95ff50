"""Write docs/commands.md, docs/API_REFERENCE.md and configs/schemas/ from the code: `make docs`.

python scripts/make_docs.py            # write them
python scripts/make_docs.py --check    # exit status 1 when they are not current
"""

import argparse
import ast
import copy
import importlib.util
import json
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import yaml

import mlx_cc
from mlx_cc.centre import Centre
from mlx_cc.cli import main_group
from mlx_cc.commands.train import command as train
from mlx_cc.schema import FILES, schema
from mlx_cc.settings import fields_of
from mlx_cc.train.settings import TrainSettings

ROOT = Path(__file__).parent.parent
WIDTH = 100
PROPERTY = {"property", "cached_property"}

PUBLIC: dict[str, tuple[str, ...]] = {
    "mlx_cc.pipeline": ("steps", "Step", "pick_one"),
    "mlx_cc.ingest.run": ("ingest", "Transcripts", "Summary"),
    "mlx_cc.prepare": ("prepare_files", "Options", "Prepared"),
    "mlx_cc.export": ("add_temporal_features", "TemporalSummary"),
    "mlx_cc.agents.run": ("fingerprint", "Fingerprints", "coach", "Coaching", "read_addresses", "write_draft"),
    "mlx_cc.train.session": ("train",),
    "mlx_cc.evaluate.run": ("evaluate",),
    "mlx_cc.evaluate.calibrate": ("calibrate", "Calibrated"),
    "mlx_cc.generate.run": ("generate",),
    "mlx_cc.train.fuse": ("fuse", "Fused"),
    "mlx_cc.report.run": ("dashboard", "table"),
    "mlx_cc.analyst": ("load", "load_model", "Analyst", "Analysis"),
    "mlx_cc.conversation": ("Conversation", "Turn", "Label", "Temporal", "Reasoning", "Provenance", "check", "replace"),
    "mlx_cc.files": ("read_conversations", "write_conversations"),
    "mlx_cc.centre": ("Centre", "Hours", "Queue", "read_centre", "write_centre"),
    "mlx_cc.temporal": ("TemporalFeatureEnhancer",),
    "mlx_cc.agents.fingerprint": ("AgentFingerprinter", "Profile", "Estimate"),
    "mlx_cc.agents.coaching": ("generate_coaching", "Finding", "Priority"),
    "mlx_cc.retrieve.rag": ("ContactCenterRAG",),
    "mlx_cc.retrieve.practices": ("extract_best_practices",),
    "mlx_cc.retrieve.search": ("Case",),
    "mlx_cc.retrieve.embed": ("embedder", "Embedder"),
    "mlx_cc.tasks": ("Task", "Answer", "all_tasks", "pick"),
    "mlx_cc.prompt": ("messages", "build_tree", "build_task_tree", "Tree", "Branch", "Cases", "Encoder"),
    "mlx_cc.errors": ("UserError",),
}
"""Module -> what is meant for use from outside."""


def pages() -> dict[Path, str]:
    """Path of each generated page -> what it should hold."""
    made = {ROOT / "docs/commands.md": commands_page(), ROOT / "docs/API_REFERENCE.md": api_page()}
    return made | {ROOT / f"configs/schemas/{file}.json": json.dumps(schema(file)) + "\n" for file in FILES}


# Commands and settings


def commands_page() -> str:
    """Every command's help, then the settings of a training run and of a centre."""
    parts = ["# Commands\n\nWritten by `make docs` from the code; edit that instead.\n"]
    for path, text in helps(main_group, "mlx_cc"):
        parts.append(f"## {path}\n\n```text\n{text}\n```\n")
    flags = {option.name: "/".join([*option.opts, *option.secondary_opts]) for option in train.params}
    parts.append("## Settings of a training run\n\nKeys of the file that `mlx_cc train --config` reads; a flag wins.\n")
    rows = [
        (setting.key, flags.get(setting.key.split(".")[-1]), setting.default, setting.help)
        for setting in fields_of(TrainSettings)
    ]
    parts.append(table(("key", "flag", "default", "meaning"), rows))
    parts.append("## Settings of a centre\n\nKeys of the file that `--centre` takes; `configs/centre.yaml` is one.\n")
    source = parsed("mlx_cc.centre")
    meanings = fields(source["Centre"]) | {f"hours.{name}": told for name, told in fields(source["Hours"]).items()}
    parts.append(
        table(("key", "default", "meaning"), [(s.key, s.default, meanings[s.key][1]) for s in fields_of(Centre)])
    )
    return "\n".join(parts)


def helps(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[tuple[str, str]]:
    """A command's path and its help, then those of the commands below it."""
    context = command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=WIDTH)
    yield context.command_path, command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            if command is main_group and importlib.util.find_spec(f"mlx_cc.commands.{below}") is None:
                continue
            found = command.get_command(context, below)
            assert found is not None, below
            yield from helps(found, below, context)


def table(heads: tuple[str, ...], rows: list[tuple]) -> str:
    """A Markdown table; the last column is prose, the others code."""
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for *cells, prose in rows:
        shown = ["" if cell is None else f"`{written(cell)}`" for cell in cells]
        lines.append(f"| {' | '.join([*shown, prose])} |")
    return "\n".join(lines) + "\n"


def written(value: object) -> str:
    """A setting's value as it is written in YAML."""
    if isinstance(value, str) and yaml.safe_load(value) == value:
        return value
    return re.sub(r"^(\d+)e", r"\1.0e", json.dumps(msgspec.to_builtins(value)))


# The Python interface


def api_page() -> str:
    """Signatures and docstrings of what is meant for use from Python."""
    parts = ["# The Python interface\n\nWritten by `make docs` from the docstrings; edit those instead.\n"]
    homes = {name: f"{home}.{name}" for name, home in mlx_cc._HOMES.items()}
    homes |= {name: home.replace(":", ".") for name, home in mlx_cc._CALLS.items()}
    parts.append("What `import mlx_cc` gives, and where it is described:\n")
    parts += [f"- `mlx_cc.{name}`: `mlx_cc.{home}`" for name, home in sorted(homes.items())]
    parts.append("")
    for module, names in PUBLIC.items():
        if importlib.util.find_spec(module) is None:
            continue
        source = parsed(module)
        parts.append(f"## {module}\n\n{prose(source[''])}")
        for name in names:
            if name in source:
                parts.append(described(source[name], name))
    return "\n".join(parts)


def parsed(module: str) -> dict[str, ast.AST]:
    """A module's functions and classes by name, itself under the empty name; nothing is imported to get them."""
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None, module
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return {"": tree} | {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


def described(node: ast.AST, name: str) -> str:
    """A function, or a class with its fields and public methods."""
    if isinstance(node, ast.FunctionDef):
        return f"### {name}\n{code(name, node)}{prose(node)}"
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]  # type: ignore[attr-defined]
    made = next((code(name, item, bound=True) for item in methods if item.name == "__init__"), "")
    parts = [f"### {name}\n{made}{prose(node)}"]
    listed = [f"- `{shown}`{': ' * bool(meaning)}{meaning}" for shown, meaning in fields(node).values()]
    if listed:
        parts.append("\n".join(listed) + "\n")
    for item in methods:
        if not item.name.startswith("_"):
            marks = {ast.unparse(mark) for mark in item.decorator_list}
            full = f"{name}.{item.name}"
            head = "" if marks & PROPERTY else code(full, item, bound="staticmethod" not in marks)
            parts.append(f"#### {full}\n{head}{prose(item)}")
    return "\n".join(parts)


def code(name: str, function: ast.FunctionDef, bound: bool = False) -> str:
    """A Python block with a function's whole signature; without `self` when bound."""
    arguments = copy.copy(function.args)
    arguments.args = arguments.args[bound:]
    result = f" -> {ast.unparse(function.returns)}" if function.returns and function.name != "__init__" else ""
    line = f"{name}({ast.unparse(arguments)}){result}"
    line = "\n".join(textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_long_words=False))
    return f"```python\n{line}\n```\n"


def fields(node: ast.AST) -> dict[str, tuple[str, str]]:
    """Field of a class -> its declaration, and the string that follows it (empty where there is none)."""
    found: dict[str, tuple[str, str]] = {}
    body: list[ast.stmt] = node.body  # type: ignore[attr-defined]
    for item, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.target.id[0] != "_":
            said = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and after.value.value
            shown = f"{item.target.id}: {ast.unparse(item.annotation)}"
            if item.value is not None and not isinstance(item.value, ast.Call):
                shown += f" = {ast.unparse(item.value)}"
            found[item.target.id] = shown, " ".join(str(said).split()) if said else ""
    return found


def prose(node: ast.AST) -> str:
    """A docstring as Markdown: Google's sections become lists."""
    text = ast.get_docstring(node, clean=not isinstance(node, ast.Module)) or ""  # type: ignore[arg-type]
    lines: list[str] = []
    inside = ""
    for line in text.splitlines():
        if re.fullmatch(r"(Args|Returns|Yields|Raises|Attributes):", line):
            inside = line[:-1]
            lines.append(f"{inside}:")
        elif inside in ("Args", "Raises", "Attributes") and (entry := re.fullmatch(r"    (\S[^:]*): (.*)", line)):
            lines.append(f"- `{entry[1]}`: {entry[2]}")
        elif inside and line.startswith("    "):
            lines.append("  " * (inside not in ("Returns", "Yields")) + line.strip())
        else:
            inside = "" if line else inside
            lines.append(line)
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the pages, or say which are not current."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when a page is not current")
    check = parser.parse_args().check
    stale = {
        path: text for path, text in pages().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        if not check:
            path.write_text(text, encoding="utf-8")
        print(f"{path.relative_to(ROOT)}: {'not current. Run `make docs`.' if check else 'written'}")
    sys.exit(1 if check and stale else 0)


if __name__ == "__main__":
    main()
