"""Erasing takes a conversation out of an index to the last byte, and leaves the rest as it was."""

import json
import shutil

import pytest
from click.testing import CliRunner
from conftest import run_python

from mlx_cc.commands.erase import command
from mlx_cc.conversation import replace
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.retrieve import rewrite
from mlx_cc.retrieve.check import check
from mlx_cc.retrieve.embed import embedder
from mlx_cc.retrieve.folder import MOVING, REWRITTEN, finish_move
from mlx_cc.retrieve.index import open_index
from mlx_cc.retrieve.rag import ContactCenterRAG
from mlx_cc.simulate import Parameters, World, simulate

NAME = "contact_center_transcripts"


@pytest.fixture(scope="module")
def conversations():
    few = list(simulate(World(Parameters(conversations=50, agents=4, seed=9))))
    chain = [
        replace(few[3], id="chain-2", previous_contact_id=few[3].id),
        replace(few[3], id="chain-3", previous_contact_id="chain-2"),
    ]
    return [*few, *(replace(c, customer_id="someone_else") for c in chain)]


@pytest.fixture
def folder(tmp_path, conversations, tiny_bert):
    with ContactCenterRAG(tmp_path / "index", embedder=embedder(str(tiny_bert))) as rag:
        rag.index(conversations)
        rag.retrieve_similar("billing")  # which keeps a word index beside it
    return tmp_path / "index"


def erase(*arguments):
    return CliRunner().invoke(command, [*map(str, arguments), "--yes", "--json"], catch_exceptions=False)


def naming(folder, word: str) -> list[str]:
    return [str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and word.encode() in p.read_bytes()]


def rows(folder):
    with open_index(folder, NAME) as index:
        return {
            name: (vector.tolist(), text, row)
            for page in index.all_rows("embeddings", "documents", "metadatas")
            for name, vector, text, row in zip(
                page["ids"], page["embeddings"], page["documents"], page["metadatas"], strict=True
            )
        }


def test_no_byte_of_it_is_left_and_the_other_rows_stay_as_they_were(folder, conversations):
    gone, before = conversations[10], rows(folder)
    said = json.loads((done := erase("--conversation", gone.id, folder)).stdout)
    assert (done.exit_code, said["left"], [c["entries"] for c in said["changed"]]) == (0, [], [3])
    assert naming(folder, gone.id) == [] and naming(folder, gone.turns[2].text) == []
    after, kept = rows(folder), {name: row for name, row in before.items() if not name.startswith(f"{gone.id}#")}
    assert {name: row[1:] for name, row in after.items()} == {name: row[1:] for name, row in kept.items()}
    assert all(after[name][0] == pytest.approx(kept[name][0], abs=1e-6) for name in kept)
    with open_index(folder, NAME) as index:
        assert check(index) == []


def test_a_customer_is_found_in_an_index_alone(folder, conversations):
    customer = conversations[0].customer_id
    ids = {c.id for c in conversations if c.customer_id == customer}
    said = json.loads(erase("--customer", customer, folder).stdout)
    assert set(said["conversations"]) == ids and naming(folder, customer) == []
    assert not {name.rpartition("#")[0] for name in rows(folder)} & ids


def test_what_followed_an_erased_contact_stays_one_chain_under_another_name(folder, conversations):
    gone = conversations[3].id
    erase("--conversation", gone, folder)
    assert naming(folder, gone) == []  # before this process, which had the words in memory, opens it again
    threads = {row["thread"] for name, (_, _, row) in rows(folder).items() if name.startswith("chain-")}
    assert len(threads) == 1 and gone not in threads


def test_what_else_lies_in_an_index_s_folder_is_erased_like_any_file(folder, conversations):
    gone = conversations[7]
    write_conversations(folder / "conversations.jsonl", conversations)
    assert json.loads(erase("--conversation", gone.id, folder / "conversations.jsonl", folder).stdout)["left"] == []
    assert naming(folder, gone.id) == []
    assert {c.id for c in read_conversations(folder / "conversations.jsonl")} == {c.id for c in conversations} - {
        gone.id
    }


def test_a_copy_that_was_interrupted_is_made_anew(folder, conversations, monkeypatch):
    gone = conversations[8].id

    def killed(header):
        raise KeyboardInterrupt

    monkeypatch.setattr(rewrite, "_clear_unused", killed)
    with pytest.raises(KeyboardInterrupt):
        rewrite.rewrite(folder, lambda conversation, _: conversation == "nobody")
    monkeypatch.undo()
    assert (folder / rewrite.PART).exists()
    assert json.loads(erase("--conversation", gone, folder).stdout)["left"] == []
    assert naming(folder, gone) == [] and len(rows(folder)) == 3 * (len(conversations) - 1)


def test_an_index_still_answers_afterwards(folder, conversations):
    erase("--conversation", conversations[5].id, folder)
    with ContactCenterRAG(folder) as rag:
        found = rag.retrieve_similar(conversations[5], 50)
        assert conversations[5].id not in {case.conversation_id for case in found} and len(found) == 50
        assert rag.index(conversations)[1] == 1


def test_an_index_in_use_is_not_erased_behind_its_user_s_back(folder, conversations):
    with open_index(folder, NAME):
        done = run_python("-m", "mlx_cc", "erase", "--conversation", conversations[0].id, folder, "--yes")
    assert done.returncode == 2 and "another process uses this index" in done.stderr


@pytest.mark.parametrize("stage", ["copied", "half deleted", "half moved"])
def test_killed_while_the_copy_takes_its_place_the_move_is_finished_later(folder, conversations, stage, monkeypatch):
    gone = conversations[10]

    def killed(path):
        if stage == "half deleted":
            (path / "chroma.sqlite3").unlink()
        if stage == "half moved":
            for old in [one for one in path.iterdir() if one.name != REWRITTEN]:
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            (path / REWRITTEN).rename(path / MOVING)
            (path / MOVING / "chroma.sqlite3").rename(path / "chroma.sqlite3")
        raise KeyboardInterrupt

    monkeypatch.setattr(rewrite, "finish_move", killed)
    with pytest.raises(KeyboardInterrupt):
        rewrite.rewrite(folder, lambda conversation, _: conversation == gone.id)
    monkeypatch.undo()
    finish_move(folder)
    assert naming(folder, gone.id) == []  # before Chroma opens it in this process, whose memory still holds the id
    assert len(rows(folder)) == 3 * (len(conversations) - 1)
    assert not (folder / REWRITTEN).exists() and not (folder / MOVING).exists()
