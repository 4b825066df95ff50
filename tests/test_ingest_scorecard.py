"""Scorecards that people filled in become quality labels."""

import pytest

from mlx_cc.conversation import Label
from mlx_cc.ingest import scorecard
from mlx_cc.ingest.format import Reading, Reject
from mlx_cc.ingest.source import open_file


def scores(tmp_path, text):
    """(contacts, reasons of the rejects)."""
    path = tmp_path / "scores.csv"
    path.write_text(text)
    file = open_file(path)
    assert scorecard.recognise(file.path, file.head)
    found = list(scorecard.read(file, Reading()))
    rejects = [str(reject) for reject in found if isinstance(reject, Reject)]
    return [one for one in found if not isinstance(one, Reject)], rejects


ANSWERS = """conversation_id,evaluator,question,answer,score,max_score,weight,critical,evaluated at
c1,qa7,Greeting,Yes,1,1,5,,2025-03-10 10:00
c1,qa7,Listening,Partly,3,5,10,,2025-03-10 10:00
c1,qa7,Callback,N/A,0,5,50,,2025-03-10 10:00
c1,qa7,Verification,Yes,1,1,10,yes,2025-03-10 10:00
c2,qa7,Greeting,Yes,1,1,5,,
c2,qa7,Verification,No,0,1,15,yes,
c3,qa7,Greeting,N/A,,1,5,,
c4,qa7,Greeting,Yes,2,1,5,,
c5,qa7,Callback,N/A,0,1,5,yes,
c5,qa7,Greeting,Yes,1,1,5,,
c5,qa7,Total,,1,1,5,,
c1,qa8,Greeting,No,0,1,5,,2025-03-11 10:00
"""


def test_a_scorecard_becomes_a_quality_label(tmp_path):
    found, rejects = scores(tmp_path, ANSWERS)
    labels = [(contact.id, contact.labels["quality"]) for contact in found]
    assert labels == [
        ("c1", Label(value={"score": round((5 + 30 + 10) / (5 + 50 + 10) * 100, 2)}, source="human_qa")),
        ("c2", Label(value={"score": 0}, source="human_qa", scale=(0, 100), given=25.0)),
        ("c5", Label(value={"score": 100.0}, source="human_qa")),
        ("c1", Label(value={"score": 0.0}, source="human_qa")),
    ]
    assert found[0].updated_at < found[3].updated_at
    assert len(rejects) == 2
    assert "line 8: no question of the scorecard applies" in rejects[0]
    assert "line 9: a score of 2 is not between 0 and 1" in rejects[1]


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ("call_id,question,percentage\n1,a,80%\n1,b,40\n", 60),
        ("call_id,question,percentage,weight\n1,a,80,3\n1,b,40,1\n", 70),
        ("call_id,question,answer\n1,a,Yes\n1,b,no\n1,c,NA\n1,d,\n", 50),
        ("Interaction ID;Criterion;Points;Points Possible\n1;a;2,5;5\n1;b;5;5\n", 75),
        ("call_id,question,answer,fatal\n1,a,Yes,x\n1,b,yes,\n", 100),
        ("call_id,question,answer,fatal\n1,a,No,x\n1,b,yes,\n", 0),
    ],
)
def test_scorecards_of_other_columns(tmp_path, text, score):
    (contact,), rejects = scores(tmp_path, text)
    assert rejects == []
    assert contact.labels["quality"].value == {"score": score}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("call_id,question,score\n1,a,4\n", "without its highest. Add a max_score column"),
        ("call_id,question,score,max\n1,a,good,5\n", "the score 'good' is not a number"),
        ("call_id,question,score,max\n1,a,nan,5\n", "the score 'nan' is not a number"),
        ("call_id,question,score,max,weight\n1,a,1,5,0\n", "none has a weight"),
        ("call_id,question,answer\n,a,yes\n", "has no call_id"),
    ],
)
def test_a_scorecard_that_cannot_be_counted_is_set_aside(tmp_path, text, words):
    found, rejects = scores(tmp_path, text)
    assert found == []
    assert words in rejects[0]
