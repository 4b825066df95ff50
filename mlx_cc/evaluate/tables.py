"""The report of an evaluation as tables for a terminal."""

from typing import Any

from rich.table import Table

from mlx_cc.evaluate import cases
from mlx_cc.evaluate.compare import in_words


def table(report: dict[str, Any]) -> Table:
    """The report as a table: a row for each measure, and under the main one and log loss the paired differences."""
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
    """What chains are worth, as a table like that of the models: answers without one and with one, side by side."""
    found = report["reasoning"]
    shown = _table(found, "none")
    shown.title = f"{report['model']} without a reasoning chain, with one after its answers, and with one first"
    shown.caption = "\n".join(_mode_in_words(mode, said) for mode, said in found["modes"].items())
    return shown


def cases_table(report: dict[str, Any]) -> Table:
    """What similar cases are worth, as a table like that of the models: answers without and with them, side by side."""
    found = report["cases"]
    shown = _table(found, cases.WITH)
    shown.title = f"{report['model']} without and with {found['similar']} similar cases of {found['index']}"
    took = found["seconds_per_conversation"]
    shown.caption = "; ".join(f"{mode}: {seconds:.2f} s a conversation" for mode, seconds in took.items()) + "."
    return shown


def _mode_in_words(mode: str, said: dict[str, Any]) -> str:
    words = f"{mode}: {said['seconds_per_conversation']:.2f} s a conversation"
    if chains := said.get("chains"):
        words += f"; {chains['sound']} of {chains['n']} chains hold up [{chains['low']:.0%}, {chains['high']:.0%}]"
    return words + ("; the answers of none, which are read before it is written." if mode == "after" else ".")


def _table(report: dict[str, Any], last: str) -> Table:
    """A comparison as rows; the column `last` is what the others are compared with."""
    models = list(
        dict.fromkeys(m for task in report["tasks"].values() for found in task["measures"].values() for m in found)
    )
    models.sort(key=lambda model: model == last)
    shown = Table()
    for name in ("task", "measure", "n", *models):
        shown.add_column(name, no_wrap=name in ("task", "measure"))

    def add(task: str, measure: str, n: int | str, estimates: dict[str, Any]) -> None:
        shown.add_row(task, measure, str(n), *(in_words(estimates[m]) if m in estimates else "" for m in models))

    for task, found in report["tasks"].items():
        for number, (metric, estimates) in enumerate(found["measures"].items()):
            arrow = " (lower is better)" if metric == "log loss" or (number == 0 and found["lower_is_better"]) else ""
            add(task if number == 0 else "", metric + arrow, found["n"] if number == 0 else "", estimates)
            paired = found["difference"] if number == 0 else {}
            paired = found["log_loss_difference"] if metric == "log loss" else paired
            if paired:
                add("", f"  {last} minus it", "", paired)
        shown.add_section()
    if whole := report["overall"]:
        n = next(iter(whole["log loss"].values())).n
        add("all that are read", "log loss (lower is better)", n, whole["log loss"])
        if whole["difference"]:
            add("", f"  {last} minus it", "", whole["difference"])
    return shown
