"""Settings are strict and declared once."""

import pytest

from mlx_cc.centre import Centre, read_centre, write_centre
from mlx_cc.errors import UserError
from mlx_cc.settings import leaves, read_settings
from mlx_cc.train.settings import TrainSettings


def test_a_misspelt_key_names_the_nearest_one(tmp_path):
    path = tmp_path / "mac.yaml"
    path.write_text("training:\n  learning_rat: 0.1\n")
    with pytest.raises(
        UserError, match=r"mac.yaml: no setting 'training.learning_rat'. Did you mean 'training.learning_rate'\?"
    ):
        read_settings(path, TrainSettings)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("training:\n  learning_rate: fast\n", "Expected `float`"),
        ("lora:\n  r: 0\n", "Expected `int` >= 1"),
        ("[1, 2]", "expected settings with keys"),
        ("a: [", "not YAML"),
    ],
)
def test_a_bad_value_is_one_line_with_the_file_and_the_place(tmp_path, text, fault):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match="x.yaml") as raised:
        read_settings(path, TrainSettings)
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)


def test_flags_win_over_the_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("training:\n  seed: 1\n  num_train_epochs: 2\n")
    found = read_settings(path, TrainSettings, {"training.seed": 5})
    assert (found.training.seed, found.training.num_train_epochs) == (5, 2)


def test_every_setting_says_what_it_means():
    assert [s.key for s in leaves(TrainSettings) if not s.help] == []


def test_a_centre_is_written_and_read_back_the_same(tmp_path):
    write_centre(tmp_path / "c.yaml", Centre())
    assert read_centre(tmp_path / "c.yaml") == Centre() == read_centre(None)


def test_a_quality_score_falls_into_its_band():
    assert [Centre().band(q) for q in (95, 90, 80, 61, 3)] == ["excellent", "excellent", "good", "fair", "poor"]
