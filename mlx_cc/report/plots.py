"""Pictures."""

import io
import json
from pathlib import Path

from mlx_cc.files import written_whole


def loss_plot(metrics: Path, picture: Path, first_validation: float) -> None:
    """Draw training and validation loss over updates as a PNG, from a run's own metrics.jsonl."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    steps = [json.loads(line) for line in metrics.read_text().splitlines()]
    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(
        [s["update"] for s in steps],
        [s["loss"] for s in steps],
        color="#8fb3d9",
        linewidth=1.2,
        label="train, each update",
    )
    if len(steps) >= 10:
        span = max(3, len(steps) // 12)
        smooth = [
            sum(s["loss"] for s in steps[max(0, i - span) : i + 1]) / len(steps[max(0, i - span) : i + 1])
            for i in range(len(steps))
        ]
        axes.plot([s["update"] for s in steps], smooth, color="#1f5fa8", linewidth=2, label="train, running mean")
    held_out = [(0, first_validation)] + [
        (s["update"], s["validation_loss"]) for s in steps if s["validation_loss"] is not None
    ]
    axes.plot(*zip(*held_out, strict=True), "o-", color="#c8553d", label="validation")
    axes.set_xlabel("optimizer update")
    axes.set_ylabel("answer loss, nats per token")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144)
    plt.close(figure)
    with written_whole(picture) as file:
        file.write(buffer.getvalue())
