"""The developers' benchmarks measure what they claim to measure."""

import json
import math
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks import embed as embedding
from benchmarks import similar_cases
from benchmarks.agents import recovery
from benchmarks.data_layer import stage_speed
from mlx_cc.errors import UserError
from mlx_cc.files import read_conversations
from mlx_cc.retrieve.embed import embedder


def bench(command: click.Command, *arguments: object) -> Any:
    """The JSON that a benchmark prints."""
    done = CliRunner().invoke(command, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_gain_counts_rank_and_how_many_are_relevant():
    assert similar_cases._ndcg([True] * 10, 30) == pytest.approx(1)
    assert similar_cases._ndcg([False, True], 1) == pytest.approx(1 / math.log2(3))
    assert similar_cases._ndcg([False] * 10, 0) == 0


def test_ways_of_ranking_are_measured_on_the_same_queries(prepared, tiny_bert, tiny_model):
    found = bench(similar_cases.quality, prepared, "--embedder", tiny_bert, "--queries", 4, "--rerank", tiny_model)
    assert found["modes"].keys() == {"hybrid", "dense", "words", "reranked"}
    train, test = (
        [c for c in read_conversations(prepared / f"{split}_chatml.jsonl") if "issue" in c.labels]
        for split in ("train", "test")
    )
    assert (found["indexed"], found["queries"]) == (len(train), min(4, len(test)))
    for quality in found["modes"].values():
        assert all(
            0 <= e["low"] <= e["value"] <= e["high"] <= 1 and e["n"] == found["queries"] for e in quality.values()
        )
        assert quality["recall_at_5"]["value"] >= quality["precision_at_5"]["value"]
    gap = found["modes"]["hybrid"]["ndcg_at_10"]["value"] - found["modes"]["dense"]["ndcg_at_10"]["value"]
    assert found["difference"]["dense"]["value"] == pytest.approx(gap)
    with pytest.raises(UserError, match="--label"):
        bench(similar_cases.quality, prepared, "--embedder", tiny_bert, "--label", "colour")


def test_queries_are_timed_filtered_and_not(tiny_bert, monkeypatch):
    monkeypatch.setattr(similar_cases, "DIFFERENT", 30)
    found = similar_cases.latencies([60, 40], embedder(str(tiny_bert)), queries=5)
    assert [one.conversations for one in found] == [40] * 9 + [60] * 9
    assert {one.entries for one in found} == {120, 180}
    assert all(0 < one.p50_ms <= one.p95_ms for one in found)
    assert all((one.allowed == 1) == (one.filters == "none") for one in found)


def test_texts_are_embedded_side_by_side(tiny_bert):
    job = embedding.Job("any", 6, 20)
    assert [len(text.split()) for text in embedding.texts_of(job)] == [10, 20, 10, 20, 10, 20]
    (found,) = bench(
        embedding.main, "--json", "--model", tiny_bert, "--texts", 8, "--words", 10, "--runs", 2, "--contender", "stock"
    )
    ours, stock = found["contenders"]
    assert ours["per_s"] == pytest.approx(8 / ours["median_s"]) and (ours["kernels"], stock["kernels"]) == (
        "mlx_cc",
        "stock",
    )


def test_chroma_s_embedder_is_measured_only_where_nothing_of_it_would_be_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(embedding, "CHROMA_MODEL", tmp_path)
    for file in embedding.CHROMA_FILES[1:]:
        (tmp_path / file).touch()
    with pytest.raises(UserError, match="export_chroma_embedder"):
        embedding.refuse_absent(["chroma"])
    (tmp_path / embedding.CHROMA_FILES[0]).touch()
    embedding.refuse_absent(["chroma"])


def test_adjusted_fingerprints_rank_simulated_agents_nearer_to_their_true_skill_than_raw_means_do():
    found = recovery(agents=100, per_agent=30, seed=0)
    assert found.adjusted.value >= 0.9
    assert found.better.low > 0
    assert found.rand_index >= 0.8 and found.named >= 0.9


def test_the_commands_of_the_data_layer_are_timed_one_after_another():
    found = stage_speed(100, 6)
    assert [one.stage for one in found] == ["prepare", "temporal", "fingerprint"]
    assert all(one.seconds > 0 and one.memory_mb > 10 for one in found)
