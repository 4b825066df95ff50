"""One self-contained HTML page about a run of the pipeline: what went in, what was learned, what it says now."""

import base64
import html
from pathlib import Path
from typing import Any

from mlx_cc.conversation import Conversation
from mlx_cc.files import write_text
from mlx_cc.tasks import Answer, pick

STYLE = """
:root{color-scheme:light dark;--ink:#1b2430;--soft:#5d6b7a;--line:#dde3ea;--card:#fff;--page:#f5f7fa;--blue:#1f5fa8;--red:#c8553d;--grey:#9aa7b5;--green:#2e7d5b}
@media (prefers-color-scheme:dark){:root{--ink:#e6ebf1;--soft:#9fb0c0;--line:#2c3744;--card:#18202a;--page:#10161d;--blue:#78aee6;--red:#ef8a72;--grey:#73818f;--green:#6cc49c}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:32px 20px 64px}h1{font-size:1.9rem;margin:0 0 4px}h2{font-size:1.2rem;margin:0 0 12px}
p{margin:0 0 12px}.soft{color:var(--soft)}section{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:20px 24px;margin-top:20px}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin-top:20px}.tile{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.tile b{display:block;font-size:1.5rem;line-height:1.2}.tile span{color:var(--soft);font-size:.85rem}
table{border-collapse:collapse;width:100%;font-size:.92rem}th,td{text-align:left;padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:600}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.scroll{overflow-x:auto}code{font:.85em ui-monospace,monospace;overflow-wrap:anywhere}
.turn{display:flex;gap:10px;padding:6px 0}.turn .who{flex:0 0 96px;color:var(--soft);font-size:.85rem;padding-top:2px}.turn.agent .what{background:color-mix(in srgb,var(--blue) 10%,transparent)}
.turn .what{border-radius:10px;padding:6px 12px;border:1px solid var(--line)}.turn.cited .what{outline:2px solid var(--red)}.two{display:grid;grid-template-columns:minmax(0,3fr) minmax(0,2fr);gap:24px}
@media (max-width:800px){.two{grid-template-columns:1fr}}img{max-width:100%;height:auto;border-radius:8px;background:#fff}.bar{height:10px;border-radius:5px;background:var(--blue)}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}.advice{border-left:3px solid var(--red);padding-left:12px;margin-bottom:12px}
"""


def write_demo_page(path: Path, facts: dict[str, Any]) -> None:
    """Write the page.

    Args:
        facts: `steps` (name, command, seconds, skipped), `statistics` (of prepare), `chains` (report of generate) and one
            `chain` (conversation_id, text, reasons against it), `training` (the run's report), `loss_png` (path),
            `evaluation` (report.json of evaluate), `agents` (summary rows), `conversation` and its `analysis`,
            `machine` (one line), `dashboard` (its page beside this one).
    """
    report, training = facts["evaluation"], facts["training"]
    overall = report["overall"]
    base, tuned = overall["log loss"]["base"], overall["log loss"]["model"]
    counts = facts["statistics"]["conversations"]
    tiles = [
        (f"{sum(counts.values())}", f"conversations, {counts['train']} to train, {counts['test']} held out"),
        (f"{training['updates']:,}", f"updates in {training['seconds'] / 60:.1f} minutes"),
        (
            f"{training['first_validation']:.2f} → {training['best_validation']:.2f}",
            "validation loss, nats per answer token",
        ),
        (f"{base['value']:.2f} → {tuned['value']:.2f}", f"log loss of held-out answers, base → tuned (n={base['n']})"),
    ]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>mlx_cc: what the demo did</title><style>{STYLE}</style><main>",
        "<h1>From a folder of transcripts to a model that answers</h1>",
        f"<p class=soft>{_(facts['machine'])}. Everything ran on this machine; labels of the sample set are simulated.</p>",
        "<div class=tiles>"
        + "".join(f"<div class=tile><b>{_(b)}</b><span>{_(s)}</span></div>" for b, s in tiles)
        + "</div>",
        _section("What ran", _steps(facts["steps"])),
        _section("Reasoning chains", _chains(facts["chains"], facts["chain"])),
        _section("What it learned", _learned(facts)),
        _section("Held-out answers: baselines, base, tuned", _evaluation(report)),
        _section("One held-out conversation, analysed", _analysis(facts["conversation"], facts["analysis"])),
        _section("Agents in the train split", _agents(facts["agents"])),
        f"<p>All of the centre, with every bar a link to its conversations: <a href='{_(facts['dashboard'])}'>the dashboard</a>.</p>",
        "</main></html>",
    ]
    write_text(path, "\n".join(parts))


def _(text: Any) -> str:
    return html.escape(str(text))


def _section(title: str, inside: str) -> str:
    return f"<section><h2>{_(title)}</h2>{inside}</section>"


def _steps(steps: list[dict[str, Any]]) -> str:
    longest = max(step["seconds"] for step in steps) or 1
    rows = "".join(
        f"<tr><td>{_(s['name'])}</td><td><code>{_(s['command'])}</code></td><td class=n style='white-space:nowrap'>{s['seconds']:.0f} s</td>"
        f"<td style='width:18%'><div class=bar style='width:{100 * s['seconds'] / longest:.1f}%'></div></td></tr>"
        for s in steps
    )
    return f"<p class=soft>The commands are written for the folder that the demo ran in.</p><div class=scroll><table><tr><th>step<th>command<th class=n>time<th></tr>{rows}</table></div>"


def _chains(report: dict[str, Any], chain: dict[str, Any]) -> str:
    done = report["kept"] + report["rejected"]
    faults = "".join(f"<li>{_(reason)}</li>" for reason in chain["reasons"])
    return (
        f"<p>A local teacher wrote {done} chains under a grammar that fixes their form and scores; checks in code kept "
        f"<b>{report['kept']}</b>. The teacher is the untuned 135M model, which is too small to write chains worth learning from: "
        "this shows how the step works.</p>"
        f"<details><summary>The chain of {_(chain['conversation_id'])}, {'rejected' if faults else 'kept'}</summary>"
        f"<ul>{faults}</ul><pre style='white-space:pre-wrap;font-size:.85rem'>{_(chain['text'])}</pre></details>"
    )


def _learned(facts: dict[str, Any]) -> str:
    training = facts["training"]
    picture = base64.b64encode(Path(facts["loss_png"]).read_bytes()).decode()
    return (
        f"<p>{training['trainable']:,} of {training['parameters']:,} parameters were tuned "
        f"({training['trainable'] / training['parameters']:.2%}) at {training['tokens'] / training['seconds']:,.0f} tokens/s, "
        f"peak {training['peak_memory_mb']:,.0f} MB. {training['shortened']} over-long conversations lost "
        f"{training['omitted_turns']} turns from their middle; no answer was cut.</p>"
        f"<img alt='Training and validation loss over updates' src='data:image/png;base64,{picture}'>"
    )


COLOURS = {
    "constant": "var(--grey)",
    "TF-IDF": "var(--green)",
    "frozen LM": "var(--ink)",
    "base": "var(--red)",
    "model": "var(--blue)",
}
NAMES = {
    "constant": "constant answer",
    "TF-IDF": "TF-IDF and a linear model",
    "frozen LM": "base model's states and a linear model",
    "base": "base model",
    "model": "tuned model",
}


def _evaluation(report: dict[str, Any]) -> str:
    """Interval bars of every task's main measure and of the overall log loss."""
    overall = report["overall"]
    gap = overall["difference"]["base"]
    better = gap["high"] < 0
    words = "better than the base model" if better else "not shown to differ from the base model"
    text = (
        f"<p>Over all tasks that are read, the tuned model is <b>{words}</b>: log loss lower by "
        f"{-gap['value']:.2f} nats (95% interval {-gap['high']:.2f} to {-gap['low']:.2f}, n={gap['n']} conversations). "
        "Small held-out sets give wide intervals; each bar below shows its own.</p>"
    )
    key = " ".join(f"<span style='color:{COLOURS[m]}'>■</span> {NAMES[m]}&nbsp;&nbsp;" for m in overall["log loss"])
    bars = [_bars("all tasks", "log loss, lower is better", overall["log loss"])]
    for task, found in report["tasks"].items():
        metric = next(iter(found["measures"]))
        direction = "lower is better" if found["lower_is_better"] else "higher is better"
        bars.append(_bars(task, f"{metric}, {direction}, n={found['n']}", found["measures"][metric]))
    return f"{text}<p class=soft>{key}</p>{''.join(bars)}"


def _bars(task: str, measure: str, estimates: dict[str, dict[str, float]]) -> str:
    shown = {m: e for m, e in estimates.items() if e["value"] is not None and e["value"] == e["value"]}
    top = max([e["high"] or e["value"] for e in shown.values()] + [1e-9]) * 1.05
    low = min([0.0, *(e["low"] or 0.0 for e in shown.values())])
    x = lambda v: 150 + 560 * (v - low) / (top - low)  # noqa: E731
    rows = []
    for number, (model, e) in enumerate(shown.items()):
        y = 14 + 18 * number
        rows.append(
            f"<line x1={x(e['low']):.0f} x2={x(e['high']):.0f} y1={y} y2={y} stroke='{COLOURS[model]}' stroke-width=3 stroke-linecap=round />"
            f"<circle cx={x(e['value']):.0f} cy={y} r=5 fill='{COLOURS[model]}'><title>{NAMES[model]}: {e['value']:.2f} "
            f"[{e['low']:.2f}, {e['high']:.2f}]</title></circle><text x=730 y={y + 4}>{e['value']:.2f} [{e['low']:.2f}, {e['high']:.2f}]</text>"
        )
    height = 18 * len(shown) + 10
    return (
        f"<div class=scroll><svg viewBox='0 0 880 {height}' width=880 height={height} role=img aria-label='{_(task)}, {_(measure)}'>"
        f"<text x=0 y=18 style='font-weight:600;fill:var(--ink)'>{_(task)}</text><text x=0 y=34>{_(measure[:26])}</text>{''.join(rows)}</svg></div>"
    )


def _analysis(conversation: Conversation, analysis: dict[str, Any]) -> str:
    cited = {item["turn"] for item in analysis["coaching"]}
    turns = "".join(
        f"<div class='turn {_(t.role)}{' cited' if n in cited else ''}' id=T{n}><div class=who>T{n} {_(t.role)}</div><div class=what>{_(t.text)}</div></div>"
        for n, t in enumerate(conversation.turns, 1)
    )
    rows = [
        (task.words, task.show(analysis), task.show(task.row(Answer(label))) if label is not None else "")
        for task in pick([])
        if task.answers
        for label in [conversation.label(task.name)]
    ]
    table = "".join(f"<tr><td>{_(a)}</td><td><b>{_(b)}</b></td><td>{_(c)}</td></tr>" for a, b, c in rows)
    advice = "".join(
        f"<div class=advice><b>{_(i['skill'])}</b> (<a href='#T{i['turn']}'>T{i['turn']}</a>)<br>{_(i['action'])}<br>"
        f"<span class=soft>{_(i['expected_outcome'])}</span></div>"
        for i in analysis["coaching"]
    )
    return (
        f"<div class=two><div>{turns}</div><div><table><tr><th>question<th>tuned model<th>label (simulated)</tr>{table}</table>"
        f"<h2 style='margin-top:20px'>Coaching</h2><p class=soft>Decoded under a JSON grammar by a 135M model: the form always "
        f"holds, the content is only as good as so small a model.</p>{advice}</div></div>"
    )


def _agents(rows: list[dict[str, Any]]) -> str:
    def cell(metric: dict[str, Any]) -> str:
        if metric["value"] is None:
            return "<td class=n><span class=soft>not enough data</span></td>"
        return f"<td class=n>{metric['value']:.1f} <span class=soft>[{metric['low']:.1f}, {metric['high']:.1f}]</span></td>"

    body = "".join(
        f"<tr><td>{_(r['agent_id'])}</td><td>{_(r.get('group') or '')}</td><td class=n>{r['conversations']}</td>"
        f"{cell(r['metrics']['quality'])}{cell(r['metrics']['csat'])}</tr>"
        for r in rows
    )
    return (
        "<div class=scroll><table><tr><th>agent<th>group<th class=n>contacts<th class=n>quality [95%]<th class=n>CSAT [95%]</tr>"
        f"{body}</table></div>"
    )
