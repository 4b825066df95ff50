"""The repository keeps its own promises: layers, documents, and what stays out of a plain import."""

import ast
import re
import subprocess
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest
from conftest import run_python

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "mlx_cc"

ROOMS = [
    "errors",
    "terminal",
    "cores",
    "children",
    "buckets",
    "conversation",
    "files",
    "splits",
    "folders",
    "metrics",
    "settings",
    "centre",
    "tasks",
    "redact",
    "ingest",
    "temporal",
    "simulate",
    "prompt",
    "export",
    "prepare",
    "agents",
    "reasoning",
    "calibration",
    "answers",
    "model",
    "analyst",
    "report",
    "train",
    "generate",
    "retrieve",
    "erase",
    "evaluate",
    "bench",
    "serve",
    "pipeline",
    "demo",
    "schema",
    "commands",
    "cli",
]
"""From the ground up: a module imports its own room and those before it."""


def python(code: str) -> str:
    """What a fresh interpreter in the repository prints."""
    run = run_python("-c", code, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def tracked() -> list[Path]:
    """The files git keeps."""
    run = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    if run.returncode:
        pytest.skip("not a git checkout")
    return [path for name in run.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported(name: str) -> set[str]:
    """Modules of mlx_cc that a module imports: at its top, inside functions, for types alone."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            files = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else node.module for name in files}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys() - {name, "mlx_cc"}


# Layers


def test_imports_run_downward_from_room_to_room():
    upward = []
    for name in MODULES.keys() - {"mlx_cc", "mlx_cc.__main__"}:  # doors, which may open onto anything
        room = name.split(".")[1]
        assert room in ROOMS, f"{name}: a new room; give it a place in ROOMS and in the README"
        if not name.endswith("__main__"):
            upward += [
                f"{name} imports {n}" for n in imported(name) if ROOMS.index(n.split(".")[1]) > ROOMS.index(room)
            ]
    assert upward == []


CIRCLES = {  # a format and a column map each know what reads the other; a table of formats will end that
    ("ingest", "ingest.processes"),
    ("ingest.contacts_map", "ingest.jsonl_map"),
    ("ingest.format", "ingest.contacts"),
    ("ingest.format", "ingest.jsonl_map"),
    ("ingest.jsonl_map", "ingest.analyses"),
    ("ingest.jsonl_map", "ingest.table"),
    ("ingest.record", "ingest.text"),
    ("ingest.roles", "ingest.format"),
}
"""Importer and imported that still close a circle."""


def test_imports_run_in_no_circle_inside_a_room():
    known = {(f"mlx_cc.{importer}", f"mlx_cc.{name}") for importer, name in CIRCLES}
    within = {
        importer: {name for name in imported(importer) if name.split(".")[1] == importer.split(".")[1]}
        for importer in MODULES.keys() - {"mlx_cc"}
    }
    assert [pair for pair in known if pair[1] not in within.get(pair[0], ())] == [], "gone: take them off the list"
    for importer, name in known:
        within[importer].remove(name)
    try:
        TopologicalSorter(within).prepare()
    except CycleError as circle:
        pytest.fail(" imports ".join(reversed(circle.args[1])))


@pytest.mark.parametrize("room", ["ingest", "temporal", "tasks", "agents", "simulate"])
def test_the_data_rooms_do_without_mlx_torch_and_transformers(room):
    modules = [f"mlx_cc.{room}"] + [f"mlx_cc.{room}.{path.stem}" for path in (PACKAGE / room).glob("[a-z]*.py")]
    heavy = python(
        f"import importlib, sys\nfor name in {modules}: importlib.import_module(name)\n"
        "print({'mlx', 'torch', 'transformers'} & {name.split('.')[0] for name in sys.modules})"
    )
    assert heavy == "set()"


def test_help_of_no_command_waits_for_a_heavy_import():
    heavy = python(
        "import contextlib, io, sys\nfrom mlx_cc.cli import COMMANDS, main_group\n"
        "for words in [[], *([name] for name in COMMANDS)]:\n"
        "    with contextlib.redirect_stdout(io.StringIO()): main_group([*words, '--help'], standalone_mode=False)\n"
        "    found = {'mlx', 'numpy', 'transformers', 'rich'} & {name.split('.')[0] for name in sys.modules}\n"
        "    if found: sys.exit(f'{words}: {found}')"
    )
    assert heavy == ""


def test_every_command_of_the_table_has_its_file_and_every_file_its_line():
    from mlx_cc.cli import COMMANDS

    assert {*COMMANDS, "options"} == {path.stem for path in (PACKAGE / "commands").glob("[a-z]*.py")}


def test_a_command_is_short_and_no_help_text_is_written_twice():
    texts, long = [], []
    for path in (PACKAGE / "commands").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "help" and isinstance(node.value, ast.Constant):
                texts.append(node.value.value)
            elif isinstance(node, ast.FunctionDef) and node.end_lineno - node.lineno >= 60:
                long.append(f"{path.name}: {node.name}")
    assert (long, [text for text in set(texts) if texts.count(text) > 1]) == ([], [])


@pytest.mark.parametrize(
    "path",
    sorted(ROOT.glob("scripts/[a-z]*.py")) + sorted(ROOT.glob("benchmarks/[a-z]*.py")),
    ids=lambda path: path.stem,
)
def test_a_script_or_benchmark_gives_what_it_promises(path):
    script = import_module(f"{path.parent.name}.{path.stem}")
    assert script.__doc__
    for name in getattr(script, "__all__", ()):
        assert callable(getattr(script, name))


def test_a_training_script_runs_from_the_repository_s_root():
    run = run_python("scripts/train_mac.py", "--help", cwd=ROOT)
    assert "--config" in run.stdout and "--learning-rate" in run.stdout


# Documents


def test_generated_documents_are_current():
    run = run_python(
        "scripts/make_docs.py", "--check", cwd=ROOT
    )  # its own process: click keeps what other tests called
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_a_sentence_of_a_docstring_is_not_taken_apart_at_its_colon():
    page = (ROOT / "docs" / "API_REFERENCE.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.replace("```", "").count("`") % 2] == []


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))])
def test_links_between_pages_lead_somewhere(page):
    targets = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_every_dependency_has_a_line_with_its_reason():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = project["dependencies"] + [need for extra in project["optional-dependencies"].values() for need in extra]
    names = {re.split(r"[\[<>=;]", need)[0].strip() for need in asked}
    page = (ROOT / "docs" / "dependencies.md").read_text()
    packages = {cell.strip(" `").split("[")[0].split()[0] for cell in re.findall(r"^\| [^|]+ \|([^|]+)\|", page, re.M)}
    assert names - packages == set()


def tree_of(readme: str) -> list[Path] | None:
    """The paths of the README's tree, folders by their indentation; None when it has no tree."""
    block = re.search(
        r"^#+ [^\n]*(?:tree|where things are)[^\n]*\n.*?^```[^\n]*\n(.*?)^```", readme, re.M | re.S | re.I
    )
    if block is None:
        return None
    paths, above = [], {}
    for line in block[1].splitlines():
        if entry := re.match(r"([ │├└─|]*)([\w./*-]+)(?=\s|$)", line):
            depth, name = len(entry[1]), entry[2]
            above = {at: folder for at, folder in above.items() if at < depth} | {depth: name}
            paths.append(Path(*(above[at] for at in sorted(above))))
    return paths


def test_a_tree_in_a_readme_is_read_by_its_indentation():
    readme = "# x\n\n## The tree\n\n```\nmlx_cc/\n├── cli.py    the door\n│   └── tasks/  six\nMakefile\n```\n"
    assert tree_of(readme) == [Path("mlx_cc"), Path("mlx_cc/cli.py"), Path("mlx_cc/cli.py/tasks"), Path("Makefile")]


def test_the_readme_s_tree_names_what_exists_and_every_room():
    paths = tree_of((ROOT / "README.md").read_text(encoding="utf-8"))
    if paths is None:
        pytest.skip("the README has no tree yet")
    assert [str(path) for path in paths if not any(ROOT.glob(str(path)))] == []
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py"))}
    assert rooms - {part for path in paths for part in path.parts} == set()


def test_no_test_waits_without_a_limit():
    waits = {"communicate", "wait", "urlopen", "check_call", "check_output", "subprocess.run"}
    endless = [
        f"{path.name}:{call.lineno}: {name} without a timeout"
        for path in Path(__file__).parent.glob("*.py")
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call)
        and {name := ast.unparse(call.func), name.rpartition(".")[2]} & waits
        and not (name.endswith(".wait") and call.args)
        and not {keyword.arg for keyword in call.keywords} & {"timeout", None}
    ]
    assert endless == []


def test_pins_name_packages_and_no_place_to_get_them_from():
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"#.*|[a-z0-9-]+==[\w.]+(; sys_platform == '(linux|darwin)')?", line), line


def test_no_module_is_longer_than_500_lines():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in PACKAGE.rglob("*.py")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > 500
    }
    assert long == {}


def test_no_file_names_a_place_on_the_machine_it_was_written_on():
    places = re.compile(rb"/(?:work|root|Users/\w+|home/(?!user\b|you\b)\w+)/")
    found = [
        f"{path.relative_to(ROOT)}: {match[0].decode()}"
        for path in tracked()
        if path.suffix not in {".png", ".gz"} and path != Path(__file__) and (match := places.search(path.read_bytes()))
    ]
    assert found == []
