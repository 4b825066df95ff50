"""The command line. One line a command; a command's code is imported only when it is called."""

import importlib
import sys

import click

from mlx_cc import __version__
from mlx_cc.errors import UserError
from mlx_cc.terminal import safe_output

COMMANDS = {
    "ingest": "Read transcripts of any supported format into one conversations file.",
    "simulate": "Make conversations with known ground truth.",
    "prepare": "Make training, validation and test files from transcripts and analyses.",
    "temporal": "Add the 18 temporal features.",
    "fingerprint": "Profile agents and group them.",
    "coach": "Write coaching plans that cite the agent's own contacts, as text or e-mail drafts.",
    "models": "Pull and list models.",
    "generate": "Have a local teacher model write reasoning chains, each checked.",
    "rag": "Index conversations and find similar ones.",
    "plan": "Estimate what a training run takes: tokens, memory, hours.",
    "train": "Tune a model with LoRA on the prepared data.",
    "fuse": "Merge an adapter into its base model and check the answers.",
    "calibrate": "Fit probabilities, and which answers need review, on the validation split.",
    "evaluate": "Measure each task on held-out conversations.",
    "fairness": "Count the answers that change when only the speaker is changed.",
    "analyze": "Answer the six questions about a conversation.",
    "chat": "Talk with a model, about a conversation or in general.",
    "dashboard": "Write the page a quality lead opens in the morning.",
    "table": "Write conversations and agents as CSV or Parquet.",
    "erase": "Erase a conversation or a customer from everything made of it.",
    "demo": "Run the whole pipeline on the sample data and write a page about it.",
    "bench": "Measure speed on this machine.",
    "doctor": "Check this machine and say what to fix.",
    "schema": "Print the JSON schema of a settings file, for editors.",
}


class Lazy(click.Group):
    """A group whose commands are modules of `mlx_cc.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if ctx.resilient_parsing:  # a shell that completes the line
                return None
            raise click.NoSuchCommand(cmd_name, possibilities=COMMANDS, ctx=ctx)
        return importlib.import_module(f"mlx_cc.commands.{cmd_name}").command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands from the table, so that `--help` imports none of them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main_group() -> None:
    """Turn a contact centre's own transcripts into a private, local analyst.

    \b
    mlx_cc demo                                       everything, on the sample data
    mlx_cc prepare --transcripts-dir T --analyses-dir A --output-dir data
    mlx_cc train --config configs/mistral_7b_mac.yaml
    mlx_cc analyze call.txt --model adapters/mistral-7b-contact-center
    """


def run(command: click.Command) -> None:
    """Run a command as a program: a user's fault is one line on stderr and exit status 2."""
    with safe_output():
        try:
            command.main(prog_name=None if command is not main_group else "mlx_cc", standalone_mode=True)
        except UserError as fault:
            click.echo(f"Error: {' '.join(str(fault).splitlines())}", err=True)
            sys.exit(2)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(1)


def main() -> None:
    """The `mlx_cc` program."""
    run(main_group)
