"""The program's front door: names that were misspelt, the version, what is said before anything happens."""

import pytest
from click.testing import CliRunner
from conftest import run_python

import mlx_cc
from mlx_cc.cli import main_group


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("dashbord", "dashboard"), ("rag quary", "query"), ("models lst", "list"), ("prepare --tsks x", "--tasks")],
)
def test_a_misspelt_name_gets_the_nearest_one(typed, meant):
    run = CliRunner().invoke(main_group, typed.split())
    assert (run.exit_code, f"Did you mean '{meant}'" in run.output) == (2, True), run.output


def test_the_version_is_the_same_everywhere():
    assert mlx_cc.__version__ in CliRunner().invoke(main_group, ["--version"]).output


def test_nobody_is_told_that_pytorch_is_missing():
    run = run_python("-c", "import mlx_cc, transformers")
    assert (run.returncode, run.stderr) == (0, "")
