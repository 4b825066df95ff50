"""`mlx_cc doctor`: what this machine has, how fast it is, and what to fix."""

from typing import Any, NamedTuple

import click

from mlx_cc.commands.options import JSON


class Fault(NamedTuple):
    """One thing to fix."""

    what: str
    remedy: str
    essential: bool
    """Whether nothing works until it is fixed."""


@click.command()
@JSON
def command(as_json: bool) -> None:
    """Check this machine: versions, speed of matrix products, models, disk. Says what to fix.

    Takes some seconds. The exit status is 1 when something essential is broken, else 0.

    \b
    Examples:
      mlx_cc doctor
      mlx_cc doctor --json
    """
    from mlx_cc.terminal import status

    with status("looking at this machine and timing its matrix products"):
        found, faults = examine()
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode({**found, "faults": [fault._asdict() for fault in faults]}))
    else:
        for topic, values in found.items():
            click.echo(f"{topic.replace('_', ' ')}: {_in_words(values)}")
        for fault in faults:
            click.echo(f"{'broken' if fault.essential else 'to fix'}: {fault.what}. {fault.remedy}")
        if not faults:
            click.echo("nothing to fix")
    raise SystemExit(1 if any(fault.essential for fault in faults) else 0)


def _in_words(values: Any) -> str:
    if isinstance(values, dict):
        return ", ".join(f"{key.replace('_', ' ')} {_in_words(value)}" for key, value in values.items())
    if isinstance(values, list):
        return "; ".join(_in_words(value) for value in values) or "none"
    if isinstance(values, float):
        return f"{values:,.1f}"
    return "none" if values is None else str(values)


def examine() -> tuple[dict[str, Any], list[Fault]]:
    """What there is, by topic, and what to fix; a broken part never hides the others."""
    found: dict[str, Any] = {"versions": _versions()}
    faults = [
        Fault(f"{name} is not installed", "Run `pip install mlx_cc` again in this environment", True)
        for name, version in found["versions"].items()
        if version is None
    ]
    for topic, look in (
        ("machine", _machine),
        ("compiler", _compiler),
        ("models", _models),
        ("disk", _disk),
        ("time_zones", _time_zones),
    ):
        name = topic.replace("_", " ")
        try:
            found[topic], more = look()
        except Exception as fault:  # the doctor reports what is broken, whatever it is
            found[topic] = None
            what = f"{name}: {' '.join(str(fault).split())}"
            more = [Fault(what, "Reinstall mlx_cc in a fresh environment", topic == "machine")]
        faults += more
    return found, faults


def _versions() -> dict[str, str | None]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    from mlx_cc import __version__

    found: dict[str, str | None] = {"mlx_cc": __version__}
    for name in ("mlx", "mlx-lm"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return {**found, "python": platform.python_version(), "system": platform.platform(terse=True)}


def _machine() -> tuple[dict[str, Any], list[Fault]]:
    from mlx_cc.model import machine

    this = machine.prepare()
    found: dict[str, Any] = {
        "backend": this.backend,
        "name": this.name,
        "memory_gb": round(this.memory_bytes / 1e9, 1),
        "cores": this.cores,
        "blas": this.blas.how,
        "blas_library": this.blas.library,
        "float32_gflops": round(machine.gemm_gflops(), 1),
    }
    faults = []
    if this.blas.warning:
        faults.append(Fault(this.blas.warning.rstrip("."), "`MLX_CC_BLAS=reference` silences this", False))
    if this.backend == "cpu":
        found["reference_gflops"] = round(_gflops_with("MLX_CC_BLAS", "reference"), 1)
        found["times_reference"] = round(found["float32_gflops"] / found["reference_gflops"], 1)
    if this.blas.library and this.cores > 1:
        found["one_thread_gflops"] = round(_gflops_with("OPENBLAS_NUM_THREADS", "1"), 1)
        if found["one_thread_gflops"] > 1.1 * found["float32_gflops"]:
            what = "one thread multiplies faster than all: other processes keep the cores busy"
            faults.append(Fault(what, "Set OPENBLAS_NUM_THREADS=1 while that lasts", False))
    return found, faults


def _gflops_with(variable: str, value: str) -> float:
    """The speed of a float32 product under another setting, measured in a process of its own; GFLOP/s."""
    import os
    import subprocess
    import sys

    code = "from mlx_cc.model import machine; machine.prepare(); print(machine.gemm_gflops())"
    environment = {**os.environ, variable: value}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout)


def _compiler() -> tuple[str | None, list[Fault]]:
    """MLX fuses elementwise kernels with g++ at run time on Linux; without it they run unfused."""
    import shutil
    import sys

    found = shutil.which("g++")
    if sys.platform == "linux" and found is None:
        return None, [Fault("no g++: MLX can't fuse kernels and runs somewhat slower", "Install g++", False)]
    return found, []


def _models() -> tuple[list[dict[str, Any]], list[Fault]]:
    from mlx_cc.model.pull import kept

    models = [{"name": model.name, "mb": round(model.bytes / 1e6)} for model in kept()]
    if not models:
        return models, [Fault("no model on this machine yet", "Run `mlx_cc models pull smollm2-135m`", False)]
    return models, []


def _disk() -> tuple[dict[str, Any], list[Fault]]:
    import shutil

    from mlx_cc.model.pull import cache_root

    root = cache_root()
    place = next(folder for folder in (root, *root.parents) if folder.exists())
    free_gb = round(shutil.disk_usage(place).free / 1e9, 1)
    found = {"model_cache": str(root), "free_gb": free_gb}
    if free_gb < 2:
        return found, [Fault(f"{free_gb} GB free at {root}", "Free space or set MLX_CC_CACHE to another place", False)]
    return found, []


def _time_zones() -> tuple[str | None, list[Fault]]:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    try:
        ZoneInfo("America/Chicago")
    except ZoneInfoNotFoundError:
        return None, [Fault("no time-zone data", "Run `pip install tzdata`", True)]
    return f"{len(available_timezones())} zones", []
