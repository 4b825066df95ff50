"""Profile agents and group them: `mlx_cc fingerprint` under its original name."""

from mlx_cc.agents.coaching import generate_coaching
from mlx_cc.agents.fingerprint import AgentFingerprinter
from mlx_cc.cli import run
from mlx_cc.commands.fingerprint import command

__all__ = ["AgentFingerprinter", "generate_coaching"]

if __name__ == "__main__":
    run(command)
