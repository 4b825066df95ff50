"""Write constraints.txt: the newest versions that fit pyproject.toml together, as pip resolves them.

`make lock` runs this with the Python of .venv; use the oldest supported one (3.11), so that the
versions suit every later one too. Nothing is installed: `make test` does that with the new file.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

HEAD = """\
# The versions mlx_cc is tested with: `make lock` writes this file, `pip install -e . -c constraints.txt` uses it.
# Made with Python 3.11 on Linux; packages of one system alone have its marker.
"""
SYSTEMS = {"mlx-cpu": "linux", "mlx-metal": "darwin"}
"""Parts of mlx, always of mlx's own version -> the system that has them."""


def main() -> None:
    """Resolve as if nothing were installed, and keep names and versions."""
    root = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        subprocess.run([*pip, "--report", report, "--editable", ".[dev]"], cwd=root, check=True)
        chosen = [item["metadata"] for item in json.loads(report.read_text())["install"]]
    versions = {item["name"].lower().replace("_", "-"): item["version"] for item in chosen}
    del versions["mlx-cc"]
    pins = {name: f"{name}=={version}" for name, version in versions.items()}
    for name, system in SYSTEMS.items():
        pins[name] = f"{name}=={versions['mlx']}; sys_platform == '{system}'"
    (root / "constraints.txt").write_text(HEAD + "".join(f"{pins[name]}\n" for name in sorted(pins)))


if __name__ == "__main__":
    main()
