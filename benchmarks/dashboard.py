"""How large the dashboard is at full size, and how long a headless Chromium takes to show it.

    python -m benchmarks.dashboard                              # 5,397 conversations of 1,007 agents
    python -m benchmarks.dashboard --conversations 20000 --rounds 3

Milliseconds, median and range over rounds; each round is a new browser. `interactive` is from the start of loading
until figures and charts are drawn; the rest is from the click until the new page is drawn.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
STEPS = {
    "filter by queue": "refilter({queue: store.names.queue[0]})",
    "agents": "location.hash = '#/agents'",
    "a list": "location.hash = '#/conversations?w=issue:billing_error'",
    "a conversation": "location.hash = '#/conversation/' + store.ids[store.n >> 1]",
}
TIMED = """
const done = arguments[0], before = document.documentElement.dataset.ready, start = performance.now();
%s;
const wait = setInterval(() => {
  if (document.documentElement.dataset.ready === before) return;
  clearInterval(wait);
  done(performance.now() - start);
}, 2);"""


def main() -> None:
    """Make the page, open it in a new browser each round, print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=5397)
    parser.add_argument("--agents", type=int, default=1007)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, page = Path(folder) / "s.jsonl", Path(folder) / "dashboard.html"
        size = ["--conversations", str(asked.conversations), "--agents", str(asked.agents)]
        for command in (["simulate", *size, "--out", source], ["dashboard", "--input", source, "--output", page]):
            subprocess.run([sys.executable, "-m", "mlx_cc", *map(str, command)], check=True, cwd=ROOT)
        rounds = [measured(page) for _ in range(asked.rounds)]
        print(f"page: {page.stat().st_size / 1e6:.1f} MB")
    for name in rounds[0]:
        found = sorted(one[name] for one in rounds)
        print(f"{name}: {statistics.median(found):.0f} [{found[0]:.0f}, {found[-1]:.0f}], {asked.rounds} rounds")


def measured(page: Path) -> dict[str, float]:
    """Milliseconds of one round."""
    from tests.browser import chromium, opened

    with chromium() as driver:
        opened(driver, page)
        mark = "return performance.getEntriesByName('interactive')[0].startTime"
        found = {"interactive": driver.execute_script(mark)}
        for name, step in STEPS.items():
            found[name] = driver.execute_async_script(TIMED % step)
        found["memory of the script, MB"] = driver.execute_script("return performance.memory.usedJSHeapSize / 1e6")
    return found


if __name__ == "__main__":
    main()
