"""Answers with similar cases are measured without leaks: from the train split, of other customers and other chains."""

import pytest

from mlx_cc.conversation import replace
from mlx_cc.errors import UserError
from mlx_cc.evaluate.cases import find
from mlx_cc.evaluate.run import evaluate
from mlx_cc.evaluate.tables import cases_table
from mlx_cc.files import read_conversations, write_conversations
from mlx_cc.metrics import Estimate
from mlx_cc.retrieve.embed import embedder
from mlx_cc.retrieve.rag import ContactCenterRAG


@pytest.fixture(scope="module")
def held_out(prepared):
    return list(read_conversations(prepared / "validation_chatml.jsonl"))


@pytest.fixture
def rag(tmp_path, tiny_bert):
    with ContactCenterRAG(tmp_path / "index", embedder=embedder(str(tiny_bert))) as opened:
        yield opened


def test_cases_are_of_the_train_split_and_of_others(rag, prepared, held_out, tmp_path):
    asked = replace(held_out[0], customer_id="ann", previous_contact_id="middle")
    copies = {
        "same customer": {"id": "same-customer", "customer_id": "ann"},
        "contact before": {"id": "middle", "previous_contact_id": "first"},
        "first of the chain": {"id": "first"},
        "contact after": {"id": "after", "previous_contact_id": asked.id},
        "somebody else": {"id": "somebody-else", "customer_id": "bob"},
    }
    planted = [replace(asked, **{"customer_id": None, "previous_contact_id": None, **more}) for more in copies.values()]
    write_conversations(tmp_path / "train_more.jsonl", planted)
    write_conversations(tmp_path / "test_more.jsonl", [asked, replace(planted[-1], id="other-split")])
    rag.index_files([prepared, tmp_path / "train_more.jsonl", tmp_path / "test_more.jsonl"])
    train = {c.id for c in read_conversations(prepared / "train_chatml.jsonl")} | {c.id for c in planted}
    ((cases, shown),) = find(rag, [asked], 3).values()
    found = [case.conversation_id for case in cases]
    assert found[0] == "somebody-else" and set(found) <= train
    assert not {"same-customer", "middle", "first", "after", "other-split", asked.id} & set(found)
    assert len(shown.cases) == 3


def test_an_index_that_knows_no_train_split_is_refused(rag, held_out):
    rag.index(held_out)
    with pytest.raises(UserError, match="mlx_cc rag index data/train_chatml.jsonl"):
        find(rag, held_out, 3)


def test_answers_with_and_without_cases_stand_side_by_side(rag, prepared, trained, tmp_path):
    rag.index_files([prepared])
    report = evaluate(
        str(trained), prepared / "validation_chatml.jsonl", None, base=None, limit=3, output=tmp_path / "e", rag=rag
    )
    found = report["cases"]
    assert (found["conversations"], found["similar"], found["cases"]) == (3, 3, 3)
    losses = found["overall"]["log loss"]
    assert losses["without"].value == pytest.approx(report["overall"]["log loss"]["model"].value)
    assert losses["with cases"].value != losses["without"].value
    gap = found["overall"]["difference"]["without"]
    assert isinstance(gap, Estimate) and gap.value == pytest.approx(
        losses["with cases"].value - losses["without"].value
    )
    assert cases_table(report).row_count > 5
