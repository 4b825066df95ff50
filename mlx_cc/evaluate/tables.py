"""The report of an evaluation as tables for a terminal."""

from typing import Any

from rich.table import Table

from mlx_cc.evaluate import cases
from mlx_cc.evaluate.compare import in_words


def table(report: dict[str, Any]) -> Table:
    """The report as a table: a row for each measure, with paired differences under the main one and log loss."""
    shown = _table(report, "model")
    shown.title = f"{report['model']} on {report['conversations']} held-out conversations of {report['data']}"
    sources = sorted({s for sources in report["sources"].values() for s in sources})
    shown.caption = "\n".join(
        [
            f"95% intervals in brackets (bootstrap over conversations). Labels: {', '.join(sources)}.",
            *(f"{m}, {task}: {note}." for m, notes in report["baselines"].items() for task, note in notes.items()),
        ]
    )
    return shown


def reasoning_table(report: dict[str, Any]) -> Table:
    """Answers without and with a reasoning chain, as a table."""
    comparison = report["reasoning"]
    shown = _table(comparison, "none")
    shown.title = f"{report['model']} without a reasoning chain, with one after its answers, and with one first"
    shown.caption = "\n".join(_mode_in_words(*mode) for mode in comparison["modes"].items())
    return shown


def cases_table(report: dict[str, Any]) -> Table:
    """Answers without and with similar cases, as a table."""
    comparison = report["cases"]
    shown = _table(comparison, cases.WITH)
    shown.title = f"{report['model']} without and with {comparison['similar']} similar cases of {comparison['index']}"
    took = comparison["seconds_per_conversation"]
    shown.caption = "; ".join(f"{mode}: {seconds:.2f} s a conversation" for mode, seconds in took.items()) + "."
    return shown


def _mode_in_words(mode: str, figures: dict[str, Any]) -> str:
    words = f"{mode}: {figures['seconds_per_conversation']:.2f} s a conversation"
    if chains := figures.get("chains"):
        words += f"; {chains['sound']} of {chains['n']} chains hold up [{chains['low']:.0%}, {chains['high']:.0%}]"
    return words + ("; its answers are those of none, read before the chain is written." if mode == "after" else ".")


def _table(report: dict[str, Any], last: str) -> Table:
    """A comparison as rows; differences are those of the column `last` to the others."""
    measures = [models for task in report["tasks"].values() for models in task["measures"].values()]
    models = list(dict.fromkeys(model for estimates in measures for model in estimates))
    models.sort(key=lambda model: model == last)
    shown = Table()
    for name in ("task", "measure", "n", *models):
        shown.add_column(name, no_wrap=name in ("task", "measure"))

    def add(task: str, measure: str, n: int | str, estimates: dict[str, Any]) -> None:
        shown.add_row(task, measure, str(n), *(in_words(estimates[m]) if m in estimates else "" for m in models))

    for task, figures in report["tasks"].items():
        for number, (metric, estimates) in enumerate(figures["measures"].items()):
            arrow = " (lower is better)" if metric == "log loss" or (number == 0 and figures["lower_is_better"]) else ""
            add(task if number == 0 else "", metric + arrow, figures["n"] if number == 0 else "", estimates)
            paired = figures["difference"] if number == 0 else {}
            paired = figures["log_loss_difference"] if metric == "log loss" else paired
            if paired:
                add("", f"  {last} minus it", "", paired)
        shown.add_section()
    if whole := report["overall"]:
        n = next(iter(whole["log loss"].values())).n
        add("all tasks with probabilities", "log loss (lower is better)", n, whole["log loss"])
        if whole["difference"]:
            add("", f"  {last} minus it", "", whole["difference"])
    return shown
