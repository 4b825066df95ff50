"""Settings are strict and declared once."""

import pytest

from mlx_cc.centre import Centre, read_centre, write_centre
from mlx_cc.errors import UserError
from mlx_cc.settings import fields_of, read_settings
from mlx_cc.train.settings import TrainSettings


def settings_of(tmp_path, text, kind=TrainSettings):
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_settings(path, kind)


def test_all_faults_of_a_file_are_told_at_once_each_with_the_nearest_right_key(tmp_path):
    text = "training: {learning_rat: 0.1, seed: x, loss: tre}\nlora: {r: 0}\nmax_seq_lenth: 5\nlearning_rate: 1\n"
    with pytest.raises(UserError) as raised:
        settings_of(tmp_path, text)
    for fault in (
        "x.yaml: no setting 'training.learning_rat'. Did you mean 'training.learning_rate'?",
        "training.seed is 'x'. Expected `int`, got `str`.",
        "training.loss is 'tre'. Expected one of tree, rows.",
        "lora.r is 0. Expected `int` >= 1.",
        "no setting 'max_seq_lenth'. Did you mean 'model.max_seq_length'?",
        "no setting 'learning_rate'. Did you mean 'training.learning_rate'?",
    ):
        assert fault in str(raised.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[1, 2]", "x.yaml: expected settings with keys"),
        ("a: [", "x.yaml, line 1: not YAML"),
        ("training:\n  seed: 1\n  seed: 2\n", "x.yaml, line 3: .* key 'seed' is there twice, first in line 2"),
        ("holidays: " + "[" * 9000, "line 1: .* more than 50 levels deep"),
        ("- " * 9000, "line 1: .* more than 50 levels deep"),
        ("a: &a [*a]", r"line 1: .* \*a repeats values"),
        ("country: Österreich".encode("latin-1"), "not YAML .* Save it as UTF-8"),
        ("a: !!timestamp x", "not YAML"),
        ("country: NO", "country is False. .* Put it in quotes"),
    ],
)
def test_what_can_t_be_read_is_one_line_with_the_file_and_the_place(tmp_path, text, fault):
    with pytest.raises(UserError, match=fault) as raised:
        settings_of(tmp_path, text, Centre)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("text", ["2e-5", "2E-5", "+2.e-05", ".2e-4", "0.00002"])
def test_a_float_may_be_written_as_people_write_it(tmp_path, text):
    assert settings_of(tmp_path, f"training: {{learning_rate: {text}}}").training.learning_rate == 2e-5


def test_clock_times_and_days_need_no_quotes_and_an_empty_section_is_its_defaults(tmp_path):
    found = settings_of(tmp_path, "hours: {open: 10:30, close: 18:00}\nholidays: [2026-12-24]\nqueues:\n", Centre)
    assert (found.hours.open, found.holidays) == ("10:30", ("2026-12-24",))


def test_flags_win_over_the_file(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("training:\n  seed: 1\n  num_train_epochs: 2\n")
    found = read_settings(path, TrainSettings, {"training.seed": 5})
    assert (found.training.seed, found.training.num_train_epochs) == (5, 2)


def test_every_setting_says_what_it_means():
    assert [s.key for s in fields_of(TrainSettings) if not s.help] == []


def test_a_centre_is_written_and_read_back_the_same(tmp_path):
    write_centre(tmp_path / "c.yaml", Centre())
    assert read_centre(tmp_path / "c.yaml") == Centre() == read_centre(None)


def test_a_quality_score_falls_into_its_band():
    assert [Centre().band(q) for q in (95, 90, 80, 61, 3)] == ["excellent", "excellent", "good", "fair", "poor"]
