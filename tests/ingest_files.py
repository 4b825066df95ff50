"""Small export files for the format tests: written, read by one format, and the real ones where they are."""

import json
from pathlib import Path

import pytest

from mlx_cc.errors import UserError
from mlx_cc.ingest import all_formats
from mlx_cc.ingest.format import Reading, Reject
from mlx_cc.ingest.source import open_file

SAMPLES = Path(__file__).parent.parent.parent / "shared" / "samples"


def written(tmp_path, content, name="export.json"):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def format_of(path):
    head = open_file(path).head
    return next(found for found in all_formats().values() if found.recognise(path, head)).name


def read(path, format, **options):
    """(what was read, the reasons of the rejects); a fault of the whole file is a reject too."""
    try:
        found = list(format.read(open_file(path), Reading(**options)))
    except UserError as fault:
        return [], [str(fault)]
    rejects = [found for found in found if isinstance(found, Reject)]
    return [item for item in found if not isinstance(item, Reject)], [reject.reason for reject in rejects]


def one(path, format, **options):
    found, rejects = read(path, format, **options)
    assert rejects == []
    assert len(found) == 1
    return found[0]


def sample(name):
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the platform's own sample {name} is not on this machine")
    return path
