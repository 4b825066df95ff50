"""An index holds every conversation once, survives kills, and is never opened where that would corrupt it."""

import json
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace as changed
from pathlib import Path

import numpy as np
import pytest
from conftest import run_python, save_bert

from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation, Label, Turn, replace
from mlx_cc.errors import UserError
from mlx_cc.files import write_conversations
from mlx_cc.prepare import prepare
from mlx_cc.retrieve import check as checks
from mlx_cc.retrieve.check import check, stats
from mlx_cc.retrieve.embed import Embedder, embedder
from mlx_cc.retrieve.entries import COLLECTION, entries, thread_of
from mlx_cc.retrieve.folder import DATABASE, WRITTEN, client_of, holding
from mlx_cc.retrieve.index import COMPLETE, NEXT, OLD, REPLACES, open_index
from mlx_cc.retrieve.indexing import Indexed, conversations_in, index_conversations, sources
from mlx_cc.retrieve.rag import ContactCenterRAG
from mlx_cc.simulate import Parameters, World, simulate

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def conversations() -> list[Conversation]:
    return list(simulate(World(Parameters(conversations=60, agents=4, seed=5))))


@pytest.fixture(scope="module")
def tiny(tiny_bert) -> Embedder:
    return embedder(str(tiny_bert))


@pytest.fixture
def index(tmp_path, conversations, tiny) -> Path:
    """The folder of an index of all conversations."""
    folder = tmp_path / "index"
    with ContactCenterRAG(folder, embedder=tiny) as rag:
        rag.index(conversations)
    return folder


def mlx_cc(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    """A command in its own process."""
    return run_python("-m", "mlx_cc", *arguments, **options)


# Entries


def test_a_conversation_is_three_entries_of_which_each_says_what_it_can_be_filtered_by():
    said = [
        ("agent", "Hello."),
        ("customer", "You charged me twice."),
        ("agent", "I refund it."),
        ("customer", "Thanks."),
    ]
    labels = {"csat": Label(value=5, source="survey"), "quality": Label(value={"score": 80}, source="human_qa")}
    turns = tuple(Turn(role=role, text=text) for role, text in said)  # type: ignore[arg-type]
    whole, problem, resolution = entries(
        Conversation(id="c#1", turns=turns, queue="billing", labels=labels), "c#1", "train"
    )
    assert problem.text == "You charged me twice.\nThanks."
    assert whole.text == resolution.text == "\n".join(f"{role.title()}: {text}" for role, text in said)
    assert (whole.id, whole.metadata["csat_score"], whole.metadata["queue"]) == ("c#1#conversation", 5.0, "billing")
    assert whole.metadata["label_sources"] == "csat:survey,quality:human_qa" and "issue" not in whole.metadata


def test_a_chain_of_contacts_has_the_thread_of_its_first_even_when_it_bites_its_tail():
    assert thread_of("c", {"c": "b", "b": "a"}) == "a"
    assert thread_of("b", {"b": "a", "a": "b"}) == "a"


# Indexing


def test_only_what_is_new_or_changed_is_written(index, conversations, tiny):
    first, second, *rest = conversations
    renamed = replace(first, queue="other_queue")
    reworded = replace(second, turns=(*second.turns, Turn(role="customer", text="One more thing.")))
    extra = replace(rest[0], id="new-one")
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert rag.index(conversations) == Indexed(60, 0, 0, 0)
        assert rag.index([renamed, reworded, *rest, extra])[:3] == (61, 1, 2)
        rows = rag.finder.index.rows([f"{first.id}#problem", f"{second.id}#resolution"])
    assert rows[f"{first.id}#problem"][1]["queue"] == "other_queue"
    assert rows[f"{second.id}#resolution"][0].endswith("One more thing.")


def test_a_field_that_a_conversation_loses_is_gone_from_its_rows(index, conversations, tiny):
    bare = replace(conversations[0], labels={}, queue=None)
    with ContactCenterRAG(index, embedder=tiny) as rag:
        rag.index([bare])
        (row,) = rag.finder.index.metadata([f"{bare.id}#conversation"]).values()
    assert not {"queue", "issue", "csat_score", "label_sources"} & set(row)


def test_pruning_takes_out_what_is_no_longer_there(index, conversations, tiny):
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert rag.index(conversations[:50], prune=True).removed == 10
        assert stats(rag.finder.index)["conversations"] == 50


@pytest.mark.parametrize("how", ["prune", "rebuild"])
def test_more_than_half_is_removed_only_when_that_is_confirmed(index, conversations, tiny, how):
    few = [replace(c, id=f"new-{c.id}") for c in conversations[:40]] + conversations[:29]
    with ContactCenterRAG(index, embedder=tiny) as rag:
        for some in (few, []):
            with pytest.raises(UserError, match=r"of its \d+ conversations, more than half, .* --prune-most"):
                rag.index(some, **{how: True})
            assert {c.id for c in conversations} <= conversations_in(rag.finder.index)
        assert rag.index(few, **{how: True}, prune_most=True)
        assert conversations_in(rag.finder.index) == {c.id for c in few}


def test_what_is_neither_a_conversation_nor_a_path_is_refused_and_changes_nothing(index, conversations, tiny, tmp_path):
    path = str(tmp_path / "c.jsonl")
    with ContactCenterRAG(index, embedder=tiny) as rag:
        for wrong in ([path], path, [None], tmp_path, [{"id": "c"}]):
            with pytest.raises(UserError, match=r"index takes conversations, not .* index_files\(paths\)"):
                rag.index(wrong, prune=True, prune_most=True)
        for wrong in ([conversations[0]], [7]):
            with pytest.raises(UserError, match="index_files takes paths, not"):
                rag.index_files(wrong, prune=True, prune_most=True)
        assert conversations_in(rag.finder.index) == {c.id for c in conversations}
        write_conversations(path, conversations[:2])
        assert rag.index_files(path)[:2] == rag.index_files([path])[:2] == (2, 0)


def test_a_follow_up_in_a_later_file_joins_the_thread_of_the_first(index, conversations, tiny):
    first = conversations[0]
    later = replace(first, id="later", previous_contact_id=first.id)
    with ContactCenterRAG(index, embedder=tiny) as rag:
        thread = rag.finder.index.metadata([f"{first.id}#problem"])[f"{first.id}#problem"]["thread"]
        rag.index([later])
        assert rag.finder.index.metadata(["later#problem"])["later#problem"]["thread"] == thread


def test_files_that_prepare_wrote_tell_the_split(prepared):
    assert [(file.path.name, file.split) for file in sources([prepared])] == [
        ("train_chatml.jsonl", "train"),
        ("validation_chatml.jsonl", "validation"),
        ("test_chatml.jsonl", "test"),
        ("conversations.jsonl", None),
    ]


def test_conversations_without_labels_are_indexed_too(tmp_path, sample_conversations, tiny):
    bare = [replace(c, id=f"bare-{n}", labels={}) for n, c in enumerate(sample_conversations[:3])]
    prepare([*sample_conversations[:6], *bare], tmp_path / "data", Centre())
    with ContactCenterRAG(tmp_path / "index", embedder=tiny) as rag:
        assert rag.index_files([tmp_path / "data"]) == Indexed(9, 9, 0, 27)
        assert {c.id for c in bare} <= conversations_in(rag.finder.index)
        assert len(rag.finder.index.ids({"split": {"$in": ["train", "validation", "test"]}})) == 18


def test_a_killed_run_leaves_a_whole_index_and_the_next_completes_it(tmp_path, tiny_bert, tiny):
    source, folder = tmp_path / "conversations.jsonl", tmp_path / "index"
    few = list(simulate(World(Parameters(conversations=60, agents=4, seed=1))))
    many = [replace(c, id=f"{c.id}-{n}") for n in range(20) for c in few]
    write_conversations(source, many)
    command = [sys.executable, "-m", "mlx_cc", "rag", "index", str(source), "--index", str(folder)]
    counts = []
    for _ in range(3):
        before = counts[-1] if counts else 0
        run = subprocess.Popen([*command, "--embedder", str(tiny_bert)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 60
        while run.poll() is None and time.monotonic() < deadline and _rows_in(folder) <= before:
            time.sleep(0.02)
        run.send_signal(signal.SIGKILL)
        run.communicate(timeout=60)
        assert run.returncode == -signal.SIGKILL, "it ended before it was killed"
        with open_index(folder, "contact_center_transcripts") as index:
            counts.append(index.count())
            assert 0 < counts[-1] < 3 * len(many)
            assert check(index) == []
            assert index.nearest(tiny.encode(["billing"])[0], 5).ids
    assert counts == sorted(set(counts))
    done = mlx_cc(*command[3:], "--embedder", str(tiny_bert), "--json")
    report = json.loads(done.stdout)
    assert report["conversations"] == len(many) and report["embedded"] == 3 * len(many) - counts[-1]
    with open_index(folder, "contact_center_transcripts") as index:
        assert (index.count(), check(index)) == (3 * len(many), [])


def _rows_in(folder: Path) -> int:
    """Rows of the database, read as another program would, without opening Chroma."""
    import sqlite3

    if not (folder / "chroma.sqlite3").exists():
        return 0
    try:
        with sqlite3.connect(f"file:{folder / 'chroma.sqlite3'}?mode=ro", uri=True) as database:
            return database.execute("select count(*) from embeddings").fetchone()[0]
    except sqlite3.Error:
        return 0


# One process at a time


def test_a_second_process_is_refused_and_told_of_the_server(index, monkeypatch, tiny):
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert rag.finder
        refused = mlx_cc("rag", "stats", "--index", str(index))
    assert refused.returncode == 2 and "another process uses this index" in refused.stderr
    assert "--chroma-host" in refused.stderr and "Traceback" not in refused.stderr
    assert mlx_cc("rag", "stats", "--index", str(index)).returncode == 0


def test_one_process_may_open_an_index_twice(index, tiny):
    with ContactCenterRAG(index, embedder=tiny) as one, ContactCenterRAG(index, embedder=tiny) as other:
        assert one.finder.index.count() == other.finder.index.count() == 180
        one.close()
        assert other.finder.index.count() == 180


def test_several_processes_share_an_index_through_a_server(tmp_path, conversations, tiny, tiny_bert):
    source = tmp_path / "conversations.jsonl"
    write_conversations(source, conversations)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    chroma = Path(sys.executable).parent / "chroma"
    command = [str(chroma), "run", "--path", str(tmp_path / "served"), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"127.0.0.1:{port}"
    try:
        for _ in range(150):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        with ContactCenterRAG(chroma_host=address, embedder=tiny) as rag:
            rag.index(conversations[:20])
            done = mlx_cc("rag", "index", str(source), "--chroma-host", address, "--embedder", str(tiny_bert), "--json")
            assert json.loads(done.stdout)["added"] == 40, done.stderr
            found = rag.retrieve_similar("my bill is wrong", 5, {"quality_score": {"$gte": 50}})
            assert len(found) == 5 and check(rag.finder.index) == []
    finally:
        server.kill()
        server.wait(60)


# What is refused, in one line


def test_vectors_of_another_embedder_are_refused_with_the_way_out(index, conversations, tmp_path):
    other = embedder(str(save_bert(tmp_path / "other", seed=1)))
    wider = embedder(str(save_bert(tmp_path / "wider", seed=1, hidden=64)))
    for one in (other, wider):
        with ContactCenterRAG(index, embedder=one) as rag:
            with pytest.raises(UserError, match=r"made with the embedder .* --rebuild"):
                rag.retrieve_similar("billing")
            with pytest.raises(UserError, match="made with the embedder"):
                rag.index(conversations)
    with ContactCenterRAG(index, embedder=wider) as rag:
        assert rag.index(conversations, rebuild=True).added == 60
        assert rag.retrieve_similar("billing")


def test_an_index_finds_its_own_embedder(index):
    with ContactCenterRAG(index) as rag:
        assert rag.retrieve_similar("billing")


def test_a_folder_that_is_no_index_is_left_alone(tmp_path, conversations, tiny):
    (tmp_path / "notes.txt").write_text("mine")
    with ContactCenterRAG(tmp_path, embedder=tiny) as rag, pytest.raises(UserError, match="not an index"):
        rag.index(conversations)
    with ContactCenterRAG(tmp_path / "nowhere") as rag, pytest.raises(UserError, match="mlx_cc rag index"):
        rag.retrieve_similar("billing")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_another_collection_s_name_is_told_those_that_are_there(index):
    with ContactCenterRAG(index, "calls") as rag, pytest.raises(UserError, match="contact_center_transcripts"):
        rag.retrieve_similar("billing")


@pytest.mark.parametrize("damage", [b"not a database at all" * 500, b""])
def test_a_damaged_database_is_told_in_one_line(index, damage):
    (index / "chroma.sqlite3").write_bytes(damage)
    told = mlx_cc("rag", "query", "billing", "--index", str(index))
    assert told.returncode == 2 and "Traceback" not in told.stderr, told.stderr
    assert told.stderr.count("\n") == 1 or "panicked" in told.stderr


def test_a_graph_that_chroma_crashes_on_is_told_in_one_line(tmp_path, tiny, conversations):
    folder = tmp_path / "index"
    many = [
        replace(c, id=f"{c.id}-{n}", turns=(*c.turns, Turn(role="agent", text=f"{n}")))
        for n in range(8)
        for c in conversations
    ]
    with ContactCenterRAG(folder, embedder=tiny) as rag:
        rag.index(many)
    damage(folder)
    checked = mlx_cc("rag", "check", "--index", str(folder))
    assert checked.returncode == 3 and "Traceback" not in checked.stderr, checked.stderr
    assert "mlx_cc rag index PATH --rebuild" in checked.stdout
    for arguments in (["query", "a bill"], ["index", str(_written(tmp_path, many))]):
        refused = mlx_cc("rag", *arguments, "--index", str(folder))
        assert refused.returncode == 2 and refused.stderr.count("\n") == 1, refused.stderr
        assert f"--rebuild --collection {COLLECTION}" in refused.stderr
    erased = mlx_cc("erase", "--conversation", many[0].id, "--yes", str(folder))
    assert erased.returncode == 3 and "part of an index that can't be read" in erased.stdout, erased.stderr
    with ContactCenterRAG(folder, embedder=tiny) as rag:
        rag.index(many, rebuild=True)
        assert rag.retrieve_similar(many[0]) and check(rag.finder.index) == []


def _written(folder: Path, some: list[Conversation]) -> Path:
    write_conversations(folder / "conversations.jsonl", some)
    return folder / "conversations.jsonl"


def test_an_index_is_looked_at_before_use_only_where_somebody_was_killed(index, tiny, monkeypatch):
    looks: list[str] = []
    real = checks._in_child
    monkeypatch.setattr(checks, "_in_child", lambda what, *more: looks.append(what) or real(what, *more))
    with ContactCenterRAG(index, embedder=tiny) as rag:
        rag.retrieve_similar("a bill")
    assert not looks
    (index / WRITTEN).unlink()  # as of a process that never closed it
    for _ in range(2):
        with ContactCenterRAG(index, embedder=tiny) as rag:
            rag.retrieve_similar("a bill")
    assert looks == ["vectors"]


def test_a_second_collection_is_made_in_a_folder_that_was_not_closed(index, conversations, tiny):
    (index / WRITTEN).unlink()
    with ContactCenterRAG(index, "other", embedder=tiny) as rag:
        assert rag.index(conversations[:5]).added == 5
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert stats(rag.finder.index)["conversations"] == 60


def test_a_first_run_that_was_killed_before_it_made_its_collection_is_run_again(tmp_path, conversations, tiny):
    with client_held(tmp_path / "index"):
        pass
    assert (tmp_path / "index" / DATABASE).exists()
    with ContactCenterRAG(tmp_path / "index", embedder=tiny) as rag:
        assert rag.index(conversations[:5]).added == 5


@contextmanager
def client_held(folder: Path):
    """Chroma's client of a folder, which is not noted as closed afterwards."""
    folder.mkdir(exist_ok=True)
    with holding(folder):
        client = client_of(folder)
        try:
            yield client
        finally:
            client.close()


def damage(folder: Path) -> None:
    """Write noise over the vectors of the collections of a folder."""
    for graph in folder.glob("*/data_level0.bin"):
        graph.write_bytes(np.random.default_rng(0).bytes(graph.stat().st_size))


class Interrupted(Exception):
    pass


def test_an_interrupted_rebuild_leaves_the_old_index_and_is_gone_on_with(index, conversations, tiny):
    many = [replace(c, id=f"{c.id}-{n}") for n in range(5) for c in conversations]
    asked: list[int] = []

    def encode(texts):
        if len(asked) == 2:
            raise Interrupted
        asked.append(len(texts))
        return tiny.encode(texts)

    with ContactCenterRAG(index, embedder=changed(tiny, encode=encode)) as rag, pytest.raises(Interrupted):
        rag.index(many, rebuild=True)
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert stats(rag.finder.index)["conversations"] == 60
        report = rag.index(many[1:], rebuild=True, prune_most=True)
        assert (report.embedded, report.removed) == (3 * len(many) - sum(asked), 1)
        assert stats(rag.finder.index)["conversations"] == len(many) - 1
        assert rag.retrieve_similar(many[7])
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert stats(rag.finder.index)["conversations"] == len(many) - 1


def test_what_a_killed_rebuild_left_damaged_is_not_gone_on_with(tmp_path, conversations, tiny):
    folder = tmp_path / "index"
    many = [replace(c, id=f"{c.id}-{n}") for n in range(8) for c in conversations]
    with ContactCenterRAG(folder, embedder=tiny) as rag:
        rag.index(conversations)
    before = {*folder.glob("*/data_level0.bin")}
    with open_index(folder, COLLECTION, tiny, rebuild=True) as new:
        index_conversations(new, tiny, [(c, None) for c in many])
    (vectors,) = {*folder.glob("*/data_level0.bin")} - before
    vectors.write_bytes(bytes(vectors.stat().st_size))
    with ContactCenterRAG(folder, embedder=tiny) as rag:
        assert rag.index(many, rebuild=True).embedded == 3 * len(many)
        assert check(rag.finder.index) == []


@pytest.mark.parametrize("step", ["complete", "renamed", "named"])
def test_a_rebuilt_index_that_was_killed_while_it_took_its_place_is_found_whole(index, conversations, tiny, step):
    with open_index(index, COLLECTION, tiny, rebuild=True) as new:
        index_conversations(new, tiny, [(c, None) for c in conversations[:40]])
        collection, client = new._collection, new._client
        collection.modify(metadata=new.about | {COMPLETE: True})
        if step != "complete":
            client.get_collection(COLLECTION).modify(name=COLLECTION + OLD)
        if step == "named":
            about = {k: v for k, v in new.about.items() if k not in (COMPLETE, REPLACES)}
            collection.modify(name=COLLECTION, metadata=about)
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert stats(rag.finder.index)["conversations"] == (60 if step == "complete" else 40)  # a reader moves nothing
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert rag.index(conversations[:40]) == Indexed(40, 0, 0, 0)
        assert stats(rag.finder.index)["conversations"] == 40
        assert not {COMPLETE, REPLACES} & rag.finder.index.about.keys()
        assert [one.name for one in rag.finder.index._client.list_collections()] == [COLLECTION]


def test_two_rebuilds_through_a_server_at_once_leave_one_whole_index(index, conversations, tiny):
    first = open_index(index, COLLECTION, tiny, rebuild=True)
    second = open_index(index, COLLECTION, tiny, rebuild=True)  # in one process, as a server lets it be in two
    for new in (first, second):
        index_conversations(new, tiny, [(c, None) for c in conversations[:30]])
    for new in (first, second):
        new.take_place()
        new.close()
    with ContactCenterRAG(index, embedder=tiny) as rag:
        assert stats(rag.finder.index)["conversations"] == 30
        assert [one.name for one in rag.finder.index._client.list_collections()] == [COLLECTION]


def test_a_rebuild_leaves_no_vectors_of_the_old_index_and_keeps_its_embedder(tmp_path, conversations, tiny):
    folder = tmp_path / "index"
    many = [replace(c, id=f"{c.id}-{n}") for n in range(8) for c in conversations]
    for _ in range(3):
        with ContactCenterRAG(folder, embedder=tiny) as rag:
            rag.index(many, rebuild=True)
    with ContactCenterRAG(folder, embedder=tiny) as rag:
        rag.index(many)
    assert len(list(folder.glob("*/data_level0.bin"))) == 1
    kept = ContactCenterRAG(folder)
    assert kept._made_with() == tiny.name.rpartition("@")[0]


def test_names_of_its_own_are_refused_and_another_s_collection_is_left_alone(index, conversations, tiny):
    with pytest.raises(UserError, match="Choose another"), ContactCenterRAG(index, "mine.next", embedder=tiny) as rag:
        rag.index(conversations)
    with client_held(index) as client:
        client.create_collection(COLLECTION + NEXT, embedding_function=None).add(ids=["a"], embeddings=[[1.0] * 3])
    with ContactCenterRAG(index, embedder=tiny) as rag, pytest.raises(UserError):
        rag.index(conversations, rebuild=True)
    with client_held(index) as client:
        assert client.get_collection(COLLECTION + NEXT).count() == 1


def test_an_empty_collection_says_so(tmp_path, tiny):
    with ContactCenterRAG(tmp_path / "index", embedder=tiny) as rag:
        rag.index([])
        with pytest.raises(UserError, match="empty"):
            rag.retrieve_similar("billing")


def test_a_vector_that_is_no_number_never_enters(tmp_path, conversations, tiny):
    broken = changed(tiny, encode=lambda texts: np.full((len(texts), tiny.dimension), np.nan, np.float32))
    with ContactCenterRAG(tmp_path / "index", embedder=broken) as rag, pytest.raises(UserError, match="no number"):
        rag.index(conversations[:3])


def test_no_server_is_told_with_how_to_start_one():
    with ContactCenterRAG(chroma_host="127.0.0.1:1") as rag, pytest.raises(UserError, match="chroma run"):
        rag.retrieve_similar("billing")


def test_an_index_that_lost_a_row_is_not_whole(index, conversations):
    with open_index(index, "contact_center_transcripts") as opened:
        opened.remove([f"{conversations[3].id}#problem"])
        assert any(conversations[3].id in fault for fault in check(opened))
    checked = mlx_cc("rag", "check", "--index", str(index))
    assert checked.returncode == 3 and conversations[3].id in checked.stdout


def test_indexing_and_searching_ask_for_no_network(tmp_path, conversations, tiny_bert):
    source = tmp_path / "conversations.jsonl"
    write_conversations(source, conversations[:5])
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__): raise AssertionError('asked for the network')\n"
        "socket.socket.connect = socket.getaddrinfo = socket.create_connection = refuse\n"
        "from mlx_cc.cli import main\nmain()"
    )
    place = ["--index", str(tmp_path / "index")]
    for arguments in (["index", str(source), "--embedder", str(tiny_bert), *place], ["query", "my bill", *place]):
        done = run_python("-c", code, "rag", *arguments)
        assert done.returncode == 0, done.stderr


# What a plain import leaves out


def test_importing_the_door_waits_for_no_heavy_library():
    code = (
        "import sys\nfrom mlx_cc import ContactCenterRAG, extract_best_practices\n"
        "from scripts.setup_rag_integration import ContactCenterRAG as same\nassert same is ContactCenterRAG\n"
        "print({'mlx', 'torch', 'chromadb', 'bm25s', 'tokenizers', 'scipy'} & {n.split('.')[0] for n in sys.modules})"
    )
    run = run_python("-c", code, cwd=ROOT)
    assert run.stdout.strip() == "set()", run.stderr
