"""`mlx_cc plan`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mlx_cc.commands.options import CONFIG, JSON
from mlx_cc.settings import flags, read_settings
from mlx_cc.train.settings import OFTEN, UNPLANNED, TrainSettings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from mlx_cc.train.memory import Memory
    from mlx_cc.train.plan import Marked, Plan, Spread


@click.command(name="plan", context_settings={"show_default": False})
@CONFIG
@click.option(
    "--probe",
    type=click.IntRange(min=2),
    default=10,
    show_default=True,
    help="Number of real steps to time on this machine; what they learn is not kept.",
)
@click.option("--no-probe", is_flag=True, help="Load no weights and time nothing.")
@JSON
@flags(TrainSettings, shown=(*OFTEN, "gradient_checkpointing", "num_layers"), without=UNPLANNED)
def command(config: Path | None, probe: int, no_probe: bool, as_json: bool, overrides: dict[str, Any]) -> None:
    """Estimate a training run before it starts: tokens, updates, memory and hours.

    Counts the tokens of the prepared data, estimates memory from the model's config.json, times a few real steps for
    the hours on this machine, and estimates the hours on Apple's chips. Shows one conversation as the model sees it,
    with the tokens that it learns marked. Writes nothing. Takes the config file of `train`. The settings below are
    those that people change; every other one that changes a plan is a flag too: docs/commands.md lists all.

    \b
    Examples:
      mlx_cc plan --config configs/mistral_7b_mac.yaml
      mlx_cc plan --config configs/mistral_7b_mac.yaml --no-probe
      mlx_cc plan --config configs/smollm2_135m_cpu.yaml --max-seq-length 1024 --probe 20
    """
    import msgspec

    settings = read_settings(config, TrainSettings, overrides)
    from mlx_cc.terminal import console
    from mlx_cc.train.plan import plan

    estimate = plan(settings, 0 if no_probe else probe, lambda text: click.echo(text, err=True))
    if as_json:
        click.echo(msgspec.json.encode(as_document(estimate)))
    else:
        show(estimate, console())


def as_document(plan: "Plan") -> dict[str, Any]:
    """A plan as JSON, with totals and the example's text."""
    import msgspec

    document = msgspec.to_builtins(plan, str_keys=True)
    document["counts"]["saved"] = plan.counts.saved
    for name in ("memory", "stock_memory"):
        document[name]["total"] = getattr(plan, name).total
    document["example"]["text"] = plan.example.text
    return document


def show(plan: "Plan", console: "Console") -> None:
    """Print a plan for people."""
    counts = plan.counts
    console.print(
        f"{plan.model}: {plan.trained_parameters:,} of {plan.parameters / 1e6:,.0f} million parameters are trained "
        f"({plan.trained_parameters / plan.parameters:.2%})"
    )
    sampled = "" if counts.sampled == counts.conversations else f" (counted on {counts.sampled:,} of them, scaled up)"
    console.print(
        f"{counts.conversations:,} conversations{sampled}, {counts.rows_each:.1f} answers each; {plan.epochs:g} epochs "
        f"in {plan.updates:,} optimizer updates; {plan.validations} validations on {plan.validation_conversations}"
    )
    _show_tokens(plan, console)
    _show_memory(plan, console)
    _show_time(plan, console)
    _show_example(plan.example, console)


def _show_tokens(plan: "Plan", console: "Console") -> None:
    counts = plan.counts
    table = _table("tokens", "5%", "25%", "50%", "75%", "95%", "most", "mean")
    for name, spread in (("trunk", counts.trunk), ("branch", counts.branch), ("row", counts.row)):
        values = (spread.p5, spread.p25, spread.p50, spread.p75, spread.p95, spread.max, spread.mean)
        table.add_row(name, *(f"{value:,.0f}" for value in values))
    console.print()
    console.print(table)
    for name, spread in (("trunk", counts.trunk), ("branch", counts.branch)):
        console.print(f"\n{name}, tokens")
        _show_histogram(spread, console)
    if plan.loss == "rows":
        console.print("\nThis run computes every answer as a row of its own.")
    console.print(
        f"\n{counts.tree_tokens:,} tokens an epoch as trees, {counts.row_tokens:,} as separate rows "
        f"({counts.saved:.0%} saved), {counts.stock_tokens:,} padded as mlx-lm pads; "
        f"{counts.trained_tokens:,} of answers are learned"
    )
    console.print(
        f"{counts.shortened:.1%} of conversations lose turns from their middle, {counts.omitted_turns:.1%} of all "
        "turns; no answer is cut"
    )


def _show_histogram(spread: "Spread", console: "Console") -> None:
    most = max(spread.counts)
    for low, high, count in zip(spread.edges, spread.edges[1:], spread.counts, strict=False):
        console.print(f"{low:>7,.0f} - {high - 1:<7,.0f} {'█' * round(40 * count / most):40} {count:,}")


def _show_memory(plan: "Plan", console: "Console") -> None:
    table = _table("memory at the peak of a step, MB", "this run", "stock, by rows")
    for part in plan.memory.__dict__:
        values = (getattr(memory, part) for memory in (plan.memory, plan.stock_memory))
        table.add_row(part.replace("keys_values", "trunk's keys and values"), *map(_megabytes, values))
    table.add_row("all", *(_megabytes(memory.total) for memory in (plan.memory, plan.stock_memory)), style="bold")
    console.print()
    console.print(table)
    console.print(f"{plan.machine} has {plan.machine_bytes / 1e9:,.1f} GB: {_fits(plan.memory, plan.machine_bytes)}")
    if plan.probe:
        console.print(
            f"measured in the probe: {_megabytes(plan.probe.peak_bytes)} MB; estimated for the same steps: "
            f"{_megabytes(plan.probe.estimated_bytes)} MB"
        )


def _show_time(plan: "Plan", console: "Console") -> None:
    table = _table("time", "this run", "stock", "tokens/s", "memory", "fits, GB")
    if plan.hours and plan.stock_hours and plan.probe:
        speed = sum(plan.probe.tokens) / sum(plan.probe.seconds)
        times = (f"{_time(h.likely)} ({_range(h.low, h.high)})" for h in (plan.hours, plan.stock_hours))
        table.add_row("this machine", *times, f"{speed:,.0f}", _gigabytes(plan.memory.total))
    for run in plan.chips:
        table.add_row(
            f"{run.chip.name}, {run.chip.gpu_cores} cores",
            _range(*run.hours),
            _range(*run.stock_hours),
            f"{run.tokens_per_s[0]:,.0f} - {run.tokens_per_s[1]:,.0f}",
            _gigabytes(run.memory_bytes),
            ", ".join(f"{size}" for size, fits in run.fits.items() if fits) or f"not {max(run.fits)}",
        )
    console.print()
    console.print(table)
    if plan.probe:
        console.print(
            f"This machine: {plan.probe.steps} steps timed, range from their spread; its stock time is the ratio of "
            "tokens, an estimate."
        )
    console.print("Apple's chips: estimated from published rates at full load, not measured.")


def _show_example(example: "Marked", console: "Console") -> None:
    from rich.text import Text

    console.print(f"\nConversation {example.conversation} as the model sees it; what is learned is marked:\n")
    text = Text(example.text)
    if console.is_terminal:
        text.highlight_regex(r"(?s)⟦.*?⟧", "bold green")
    console.print(text, soft_wrap=True)


def _table(*titles: str) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, title in enumerate(titles):
        table.add_column(title, justify="right" if column else "left", no_wrap=True)
    return table


def _fits(memory: "Memory", available: int) -> str:
    if memory.total <= 0.8 * available:
        return "it fits"
    remedy = "gradient_checkpointing, fewer lora.num_layers or a smaller max_seq_length"
    return f"it {'hardly fits' if memory.total <= available else 'does not fit'}; {remedy} take less"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f}"


def _gigabytes(count: float) -> str:
    return f"{count / 1e9:,.1f} GB"


def _time(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:,.0f} min" if hours > 1 / 60 else "1 min"
    return f"{hours:,.0f} h" if hours >= 10 else f"{hours:.1f} h"


def _range(low: float, high: float) -> str:
    return _time(high) if _time(low) == _time(high) else f"{_time(low)} - {_time(high)}"
