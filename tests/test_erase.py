"""Erasing takes a conversation, or a customer, out of everything that was made of it, and nothing else."""

import fcntl
import gzip
import json
import os
import shutil
import zipfile
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from conftest import run_python

from mlx_cc import erase
from mlx_cc.agents.fingerprint import AgentFingerprinter
from mlx_cc.centre import Centre
from mlx_cc.commands.erase import command
from mlx_cc.conversation import Conversation, replace
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations, write_conversations, write_json
from mlx_cc.folders import DataFolder
from mlx_cc.generate.journal import held
from mlx_cc.prepare import prepare
from mlx_cc.redact import pseudonym
from mlx_cc.simulate import Parameters, World, simulate
from mlx_cc.splits import SPLITS


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    """Contacts of which some follow one another."""
    return list(simulate(World(Parameters(conversations=80, agents=4, seed=3))))


@pytest.fixture(scope="module")
def made(tmp_path_factory, conversations) -> Path:
    """A project after ingest, prepare, fingerprint, train and evaluate, in small."""
    project = tmp_path_factory.mktemp("project")
    data, run = project / "data", project / "adapters" / "run"
    prepare(conversations, data, Centre())
    with gzip.open(data / "copy.jsonl.gz", "wb") as copy:
        copy.write((data / "conversations.jsonl").read_bytes())
    profiles = AgentFingerprinter().compute_agent_profiles(data / "train_chatml.jsonl")
    write_json(data / "agent_profiles" / "agent_profiles.json", profiles)
    rejects = [{"file": f"calls/{c.id}.txt", "line": None, "reason": "no speaker."} for c in conversations[:10]]
    (data / "rejects.jsonl").write_bytes(b"".join(msgspec.json.encode(reject) + b"\n" for reject in rejects))
    for c in conversations[:10]:
        write_json(data / "analyses" / f"{c.id}.json", {"conversation_id": c.id, "csat_score": 4})
        transcript = data / "transcripts" / f"{c.id}.txt"
        transcript.parent.mkdir(exist_ok=True)
        transcript.write_text("Agent: Hello.\nCustomer: My bill is wrong.\n")
    write_json(data / "more_analyses.json", [{"conversation_id": c.id, "csat_score": 4} for c in conversations])
    write_json(run / "adapter_config.json", {"model": "tiny"})
    (run / "adapters.safetensors").write_bytes(b"\0weights\0")
    trained = [c.id for c in read_conversations(data / "train_chatml.jsonl")]
    (run / "manifest.txt").write_text("".join(f"{name}\n" for name in trained))
    journal = run / "evaluation" / "answers-0a1b.jsonl"
    journal.parent.mkdir()
    journal.write_text("".join(json.dumps({"conversation_id": c.id, "answers": {}}) + "\n" for c in conversations))
    elsewhere = data / "with_base" / "answers-0c2d.jsonl"  # of `evaluate --output`, after the records by name
    elsewhere.parent.mkdir()
    shutil.copy(journal, elsewhere)
    (run / "evaluation" / "states-0a1b.npy").write_bytes(b"\x93NUMPY")
    write_json(run / "evaluation" / "report.json", {"conversations": len(conversations)})
    return project


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Path:
    """A copy of it, and the current folder."""
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


LEFT = ["adapters/run/erased.json", "adapters/run/manifest.txt"]
"""What still names a customer's conversations: the model's list, and the note of whose they were."""


def run(*arguments: str):
    return CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)


def content(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def snapshot(project: Path) -> dict[str, bytes]:
    return {str(p.relative_to(project)): content(p) for p in sorted(project.rglob("*")) if p.is_file()}


def naming(project: Path, *words: str) -> list[str]:
    """Files whose name or content holds one of the words."""
    return [n for n, data in snapshot(project).items() if any(w.encode() in data or w in n for w in words)]


def cited(project: Path) -> str:
    """An id that a profile names as evidence."""
    profiles = json.loads((project / "data/agent_profiles/agent_profiles.json").read_bytes())
    found = [f["evidence"] for p in profiles.values() for f in (*p["strengths"], *p["weaknesses"])]
    return found[0][0]


def followed(conversations: list[Conversation]) -> str:
    """The id of a conversation that a later one names."""
    return next(c.previous_contact_id for c in conversations if c.previous_contact_id)


def test_a_model_that_learned_from_an_erased_customer_is_named_until_it_is_trained_anew(project):
    trained = next(read_conversations(project / "data/train_chatml.jsonl"))
    assert run("--customer", trained.customer_id, "--yes").exit_code == 3
    note = project / "adapters/run/erased.json"
    assert trained.id in note.read_text() and trained.customer_id not in note.read_text()
    again = run("--customer", trained.customer_id, "--yes")
    assert (again.exit_code, [left["path"] for left in json.loads(again.stdout)["left"]]) == (3, ["adapters/run"])
    assert run("--customer", "somebody-else", "--yes").exit_code == 0
    (project / "adapters/run/manifest.txt").write_text("another\n")
    assert run("--customer", trained.customer_id, "--yes").exit_code == 0


@pytest.mark.parametrize("gone", ["3", "12", "a"])
def test_a_short_id_is_no_word_of_other_records(tmp_path, gone):
    other = [{"id": "x", "turns": [{"role": "agent", "text": "3 or 12, a choice."}], "hold_s": float(3)}]
    reject = {"file": "x.jsonl", "line": 3, "reason": "item 12: a turn has no role."}
    of_it = [{"file": f"calls/{gone}.txt", "line": None, "reason": "no speaker."}]
    of_it += [{"file": "a.json", "line": None, "reason": f"analysis of '{gone}' has no transcript."}]
    lines = [{"id": gone, "turns": other[0]["turns"]}, *other]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "rejects.jsonl").write_text("".join(json.dumps(line) + "\n" for line in (reject, *of_it)))
    result = run("--conversation", gone, "--yes", str(tmp_path))
    assert (result.exit_code, json.loads(result.stdout)["left"]) == (0, [])
    assert [c.id for c in read_conversations(tmp_path / "c.jsonl")] == ["x"]
    assert [json.loads(line) for line in (tmp_path / "rejects.jsonl").read_text().splitlines()] == [reject]


def test_a_conversation_is_gone_from_every_file_and_the_adapter_that_learned_it_is_named(project):
    gone = cited(project)
    result = run("--conversation", gone, "--yes")
    said = json.loads(result.stdout)
    assert naming(project, gone) == ["adapters/run/manifest.txt"]
    assert [left["path"] for left in said["left"]] == ["adapters/run"]
    assert "mlx_cc train --config adapters/run/settings.yaml --run run" in said["left"][0]["reason"]
    assert (said["make_again"], result.exit_code) == (["data/agent_profiles/agent_profiles.json"], 3)


def test_everything_else_stays_as_it_was(project, conversations):
    gone = followed(conversations)
    data = DataFolder(project / "data")
    files = [*map(data.chatml, SPLITS), data.path / "copy.jsonl.gz"]
    before = {file: list(read_conversations(file)) for file in files}
    run("--conversation", gone, "--yes")
    for file, was in before.items():
        kept = [replace(c, previous_contact_id=None) if c.previous_contact_id == gone else c for c in was]
        assert list(read_conversations(file)) == [c for c in kept if c.id != gone]
    journal = (project / "adapters/run/evaluation/answers-0a1b.jsonl").read_text().splitlines()
    assert [json.loads(line)["conversation_id"] for line in journal] == [c.id for c in conversations if c.id != gone]


def test_a_follow_up_stays_one_without_the_id_it_followed(tmp_path):
    later = {"id": "b", "turns": [{"role": "agent", "text": "Hi"}], "previous_contact_id": "a"}
    (tmp_path / "c.jsonl").write_bytes(msgspec.json.encode(later) + b"\n")
    assert run("--conversation", "a", "--yes", str(tmp_path)).exit_code == 0
    (after,) = read_conversations(tmp_path / "c.jsonl")
    assert (after.previous_contact_id, after.is_followup) == (None, True)


def test_files_without_it_are_not_touched(project, conversations):
    times = {path: path.stat().st_mtime_ns for path in project.rglob("*") if path.is_file()}
    said = json.loads(run("--conversation", conversations[-1].id, "--yes").stdout)
    deleted = {path for path in times if not path.exists()}
    changed = {path for path, at in times.items() if path not in deleted and path.stat().st_mtime_ns != at}
    told = {True: set(), False: set()}
    for found in said["changed"]:
        told[found["deleted"]].add(project / found["file"])
    assert (told[True], told[False]) == (deleted, changed)
    assert project / "data/conversations.jsonl" in changed and project / "data/rejects.jsonl" not in changed


def test_a_customer_is_all_of_their_conversations(project, conversations):
    by_customer: dict[str, list[str]] = {}
    for c in conversations:
        by_customer.setdefault(c.customer_id, []).append(c.id)
    customer, ids = max(by_customer.items(), key=lambda item: len(item[1]))
    said = json.loads(run("--customer", customer, "--yes").stdout)
    assert (said["conversations"], len(ids) > 1) == (sorted(ids), True)
    assert set(naming(project, customer, *ids)) <= set(LEFT)
    kept = [c.id for c in read_conversations(project / "data/conversations.jsonl")]
    assert kept == [c.id for c in conversations if c.id not in ids]


def test_a_customer_is_found_by_the_pseudonym_too_and_the_raw_id_is_searched_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MLX_CC_PSEUDONYM_KEY", "sixteen letters and more")
    phone = "+1 555 0100"
    known = pseudonym(phone, b"sixteen letters and more")
    records = [{"id": c, "turns": [], "customer_id": customer} for c, customer in (("a1", known), ("b1", "c_other"))]
    (tmp_path / "c.jsonl").write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    (tmp_path / "contacts.csv").write_text(f"id,phone\nb2,{phone}\n")
    said = json.loads(run("--customer", phone, "--yes", str(tmp_path)).stdout)
    assert said["conversations"] == ["a1"]
    assert [json.loads(line)["id"] for line in (tmp_path / "c.jsonl").read_text().splitlines()] == ["b1"]
    assert [Path(left["path"]).name for left in said["left"]] == ["contacts.csv"]


def test_without_a_key_none_is_made_to_look_for_a_pseudonym(tmp_path, monkeypatch):
    monkeypatch.delenv("MLX_CC_PSEUDONYM_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert erase.aliases_of("+1 555 0100") == {"+1 555 0100"}
    assert not (tmp_path / "config").exists()


def test_an_export_goes_when_it_holds_nobody_else(tmp_path):
    for name, ids in (("one.csv", ["call-1"]), ("two.csv", ["call-1", "call-2"])):
        rows = [f"{c},2025-03-10T09:00:00Z,billing,12" for c in ids]
        (tmp_path / name).write_text("\n".join(["contact_id,started_at,queue,queue_wait_s", *rows]))
    with zipfile.ZipFile(tmp_path / "calls.zip", "w") as archive:
        archive.writestr("call-1.txt", "Agent: Hello.\nCustomer: Hello.\n")
    said = json.loads(run("--conversation", "call-1", "--yes", str(tmp_path)).stdout)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["two.csv"]
    assert [Path(left["path"]).name for left in said["left"]] == ["two.csv"]


def test_a_dry_run_says_the_same_and_changes_nothing(project):
    gone, before = cited(project), snapshot(project)
    told = json.loads(run("--conversation", gone, "--dry-run").stdout)
    assert snapshot(project) == before
    assert told["changed"] == json.loads(run("--conversation", gone, "--yes").stdout)["changed"]


def test_a_second_time_there_is_nothing_to_do(project, conversations):
    first = json.loads(run("--customer", conversations[0].customer_id, "--yes").stdout)
    before = snapshot(project)
    again = run("--conversation", first["conversations"][0], "--yes")
    assert (json.loads(again.stdout)["changed"], snapshot(project)) == ([], before)


def test_nobody_there_to_ask_needs_yes(project, conversations):
    result = CliRunner().invoke(command, ["--conversation", conversations[0].id])
    assert isinstance(result.exception, UserError) and "--yes" in str(result.exception)
    assert naming(project, conversations[0].id)


def test_an_id_inside_a_longer_one_is_another(tmp_path):
    records = [{"id": name, "turns": [{"role": "agent", "text": "Hi"}]} for name in ("call-1", "call-10", "recall-1")]
    (tmp_path / "c.jsonl").write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
    assert run("--conversation", "call-1", "--yes", str(tmp_path)).exit_code == 0
    assert [c.id for c in read_conversations(tmp_path / "c.jsonl")] == ["call-10", "recall-1"]


@pytest.mark.parametrize("name", ["Anruf Ü/7", 'a"b\\c', "x&y<z", "+1 (555) 0100"])
def test_an_id_is_found_however_it_is_written(tmp_path, name):
    record = {"conversation_id": name, "answers": {}}
    (tmp_path / "answers-1.jsonl").write_text(
        json.dumps(record) + "\n" + json.dumps({"conversation_id": "other"}) + "\n"
    )
    (tmp_path / "rejects.jsonl").write_bytes(msgspec.json.encode({"file": f"{name}.txt", "line": 1, "reason": "?"}))
    (tmp_path / "export.txt").write_text(f"contact {name} called", encoding="utf-16")
    said = json.loads(run("--conversation", name, "--yes", str(tmp_path)).stdout)
    assert (tmp_path / "answers-1.jsonl").read_text() == json.dumps({"conversation_id": "other"}) + "\n"
    assert not (tmp_path / "rejects.jsonl").exists()
    assert [Path(left["path"]).name for left in said["left"]] == ["export.txt"]


def test_what_can_t_be_erased_is_named_with_the_way_out(tmp_path):
    turns = [{"role": "customer", "text": "As I said in call-1, it rains."}]
    (tmp_path / "c.jsonl").write_bytes(msgspec.json.encode({"id": "call-2", "turns": turns}) + b"\n")
    (tmp_path / "page.html").write_text("<td>call-1</td>")
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "chroma.sqlite3").write_bytes(b"SQLite format 3\0\0call-1\0")
    (tmp_path / "contacts.csv").write_text("id,queue\ncall-1,billing\ncall-2,billing\n")
    (tmp_path / "broken.jsonl.gz").write_bytes(gzip.compress(b"call-1" * 99)[:20])
    with zipfile.ZipFile(tmp_path / "calls.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("call-1", "call-2"):
            archive.writestr(f"{name}.txt", "Agent: Hello.\n")
    (tmp_path / "call-1.wav").write_bytes(b"RIFF")
    (tmp_path / "c.jsonl.part").write_text("call-1")
    before = snapshot_raw(tmp_path)
    result = run("--conversation", "call-1", "--yes", str(tmp_path))
    reasons = {Path(left["path"]).name: left["reason"] for left in json.loads(result.stdout)["left"]}
    assert (result.exit_code, snapshot_raw(tmp_path)) == (3, before)
    assert reasons.keys() == {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert "line 1 names it" in reasons["c.jsonl"] and "Make it again" in reasons["page.html"]
    assert "of an index" in reasons["chroma.sqlite3"] and "can't be searched" in reasons["broken.jsonl.gz"]


def snapshot_raw(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_linked_file_is_changed_where_it_lies_and_keeps_its_permissions(tmp_path):
    real = tmp_path / "disk" / "c"
    write_conversations(real, [])
    real.write_bytes(b'{"id":"a","turns":[]}\n{"id":"b","turns":[]}\n')
    real.chmod(0o600)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "c.jsonl").symlink_to(real)
    run("--conversation", "a", "--yes", str(tmp_path / "data"))
    assert (tmp_path / "data" / "c.jsonl").is_symlink()
    assert (real.read_bytes(), real.stat().st_mode & 0o777) == (b'{"id":"b","turns":[]}\n', 0o600)


def test_a_journal_that_is_being_written_is_not_disturbed(project, conversations):
    (project / "data" / "train_reasoning.journal").mkdir(parents=True)
    (project / "data" / "train_reasoning.journal" / "part-0.jsonl").touch()
    before = snapshot(project)
    with held(project / "data" / "train_reasoning.jsonl"), pytest.raises(UserError, match="generate is writing there"):
        run("--conversation", conversations[0].id, "--yes")
    assert snapshot(project) == before


def test_a_run_that_trains_is_not_disturbed(project, conversations):
    before = snapshot(project)
    holder = os.open(project / "adapters" / "run", os.O_RDONLY)
    try:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(UserError, match=r"adapters/run: a training run is writing there"):
            run("--conversation", conversations[0].id, "--yes")
    finally:
        os.close(holder)
    assert snapshot(project) == before


def test_without_a_project_or_an_id_the_way_out_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="name PATHs"):
        run("--conversation", "a")
    with pytest.raises(UserError, match="--conversation ID"):
        run("--yes")
    with pytest.raises(UserError, match="no such file or folder"):
        run("--conversation", "a", "nowhere")


KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from mlx_cc import erase
from mlx_cc.ingest import all_formats

all_formats()  # imported once, before the children are made
made, trials, customer = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
step = 0

def in_child(trial):
    left = step

    def die_at_step(event, arguments):
        nonlocal left
        of_ours = event == "fsync" or str(arguments[:1]).find(str(trial)) >= 0
        if of_ours and (event in ("os.rename", "os.remove", "fsync") or event == "open" and ".part" in str(arguments)):
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    os.fsync = lambda descriptor: die_at_step("fsync", ())
    sys.addaudithook(die_at_step)
    target = erase.resolve([trial], [], [customer])
    erase.erase([trial], erase.plan([trial], target), target)
    os._exit(0)

while True:
    step += 1
    trial = trials / str(step)
    shutil.copytree(made, trial)
    child = os.fork()
    if not child:
        in_child(trial)
    if os.waitpid(child, 0)[1] == 0:
        break
"""
"""Erases a customer from copies of a project, killed at the first write, the second and so on."""


def test_killed_at_any_step_no_file_is_half_and_the_next_time_completes_it(made, tmp_path, conversations, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # the disk is slow, and what it holds is not asked
    by_customer: dict[str, list[str]] = {}
    for c in conversations:
        by_customer.setdefault(c.customer_id, []).append(c.id)
    customer = next(c.customer_id for c in conversations[:10] if 1 < len(by_customer[c.customer_id]) < 6)

    def erased(folder: Path) -> dict[str, bytes]:
        target = erase.resolve([folder], [], [customer])
        erase.erase([folder], erase.plan([folder], target), target)
        return snapshot(folder)

    assert run_python("-c", KILLED, made, tmp_path, customer).returncode == 0
    trials = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    *killed, whole = trials
    before, after = snapshot(made), snapshot(whole)
    assert naming(whole, *by_customer[customer]) == LEFT
    assert len(killed) > 20
    for trial in killed:
        found = snapshot(trial)
        for name in before:
            assert name in found or name not in after, f"step {trial.name}: {name} is lost"
            assert found.get(name) in (before[name], after.get(name)), (
                f"step {trial.name}: {name} is neither old nor new"
            )
        assert erased(trial) == after
