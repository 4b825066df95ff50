"""`mlx_cc chat`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlx_cc.commands.options import ASKED

if TYPE_CHECKING:
    from mlx_cc.conversation import Conversation
    from mlx_cc.serve.chat import Chat

HELP = """/open FILE   talk about the conversation in a file
/analyze     the six answers about it
/reset       forget what was said
/help        this list
/quit        leave (or Ctrl-D); Ctrl-C stops a reply"""


@click.command(name="chat")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@ASKED
@click.option(
    "--max-tokens", type=click.IntRange(min=1), default=256, show_default=True, help="Maximum tokens of a reply."
)
@click.option(
    "--temperature",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Sampling temperature (0: always the most probable token).",
)
def command(file: Path | None, model: str | None, max_tokens: int, temperature: float) -> None:
    """Talk with a model about the conversation in FILE, or in general.

    With piped input every line is a question, and every reply is one line.

    \b
    Examples:
      mlx_cc chat call.txt
      mlx_cc chat --model smollm2-135m
      echo "Why did the customer call?" | mlx_cc chat call.txt
    """
    from mlx_cc.commands.analyze import load_analyst
    from mlx_cc.errors import UserError
    from mlx_cc.serve.chat import Chat

    conversation = only_conversation(file) if file else None
    chat = Chat(load_analyst(model))
    interactive = sys.stdin.isatty()
    if conversation:
        start(chat, conversation)
    if interactive:
        with_history()
        note("Ask away; /help lists what else there is.")
    while (line := next_line(interactive)) is not None:
        try:
            if line.startswith("/"):
                if not obey(chat, line, interactive):
                    break
            elif line:
                reply(chat, line, max_tokens, temperature, interactive)
        except UserError as fault:
            note(str(fault))


def obey(chat: "Chat", line: str, interactive: bool) -> bool:
    """Do what a /command says; False to leave.

    Raises:
        UserError: there is no such command, or the file can't be read.
    """
    from mlx_cc.commands.analyze import tell
    from mlx_cc.errors import UserError

    name, _, rest = line.partition(" ")
    match name:
        case "/quit" | "/exit":
            return False
        case "/help":
            click.echo(HELP)
        case "/reset":
            chat.exchanges.clear()
            note("Forgotten.")
        case "/open" if rest.strip():
            start(chat, only_conversation(Path(rest.strip()).expanduser()))
        case "/open":
            raise UserError("/open needs the name of a file: /open FILE")
        case "/analyze":
            if chat.conversation is None:
                raise UserError("no conversation is open. /open FILE opens one.")
            try:
                tell(chat.analyst.analyze(chat.conversation), as_json=not interactive)
            except KeyboardInterrupt:
                note("\nStopped.")
        case _:
            raise UserError(f"no command {name}. /help lists them.")
    return True


def reply(chat: "Chat", question: str, max_tokens: int, temperature: float, interactive: bool) -> None:
    """Print the reply to a question as it comes, or, for piped input, as one line."""
    from contextlib import closing

    with closing(chat.ask(question, max_tokens, temperature)) as pieces:
        if not interactive:
            click.echo(" ".join("".join(pieces).split()))
        else:
            try:
                for piece in pieces:
                    click.echo(piece, nl=False)
                click.echo()
            except KeyboardInterrupt:
                note("\nStopped; this exchange is forgotten.")
    if chat.forgotten:
        note(f"(The {chat.forgotten} oldest exchanges were forgotten to make room.)")


def only_conversation(file: Path) -> "Conversation":
    """The conversation in a file.

    Raises:
        UserError: it can't be read, or holds more than one.
    """
    from mlx_cc.commands.analyze import nothing_in, read
    from mlx_cc.errors import UserError
    from mlx_cc.ingest.format import Reading, Reject
    from mlx_cc.redact import Redactor

    rejects: list[Reject] = []
    conversations = read(file, Reading(redactor=Redactor()), rejects.append)
    first = next(conversations, None)
    if first is None:
        raise nothing_in(file, rejects)
    if next(conversations, None) is not None:
        raise UserError(f"{file}: holds more than one conversation. Pass a file with one.")
    return first


def start(chat: "Chat", conversation: "Conversation") -> None:
    """Open a conversation and say so."""
    omitted = chat.open(chat.analyst.conversation(conversation))
    left_out = f"; {omitted} from the middle are left out, the model takes no more" if omitted else ""
    note(f"About {conversation.id}: {len(conversation.turns)} turns{left_out}.")


def next_line(interactive: bool) -> str | None:
    """The next line without the white space around it; None at the end."""
    if not interactive:
        line = sys.stdin.readline()
        return line.strip() if line else None
    try:
        return input("> ").strip()
    except EOFError:
        click.echo()
    except KeyboardInterrupt:
        note("\nCtrl-D or /quit leaves.")
        return ""
    return None


def with_history() -> None:
    """Give the prompt line editing and the arrow keys, where Python has them. Nothing is written to disk."""
    import contextlib
    import importlib

    with contextlib.suppress(ImportError):
        importlib.import_module("readline")


def note(text: str) -> None:
    """Print a line of the program, not of the model, on stderr."""
    click.echo(text, err=True)
