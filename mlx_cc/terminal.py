"""The terminal: text from outside made safe, and one way to show progress and status.

Progress and status go to stderr, and only where that is a terminal. rich is imported when something is shown.
"""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import IO, TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

WIDTH = 180
"""Columns of a table that is not printed on a terminal: wide enough for all tables, so that no cell is cut."""
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but tab and line feed, what turns the direction of text, and halves of characters."""

T = TypeVar("T")


def printable(text: str) -> str:
    r"""Text with which a file can't steer a terminal: ESC becomes `\u001b`, as JSON writes it."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class Safe:
    """A stream, of text or of UTF-8, to which everything is written as `printable` makes it."""

    def __init__(self, stream: Any) -> None:
        self.rich_proxied_file = stream  # by this name rich finds it, whose own escapes must pass

    def write(self, data: Any) -> int:
        """Write text or UTF-8, whichever the stream takes."""
        safe = printable(data) if isinstance(data, str) else printable(data.decode(errors="replace")).encode()
        self.rich_proxied_file.write(safe)
        return len(data)

    def flush(self) -> None:
        self.rich_proxied_file.flush()

    @property
    def buffer(self) -> "Safe":
        return Safe(self.rich_proxied_file.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def safe_output() -> Iterator[None]:
    """Make everything safe that the block prints on stdout and stderr."""
    with redirect_stdout(Safe(sys.stdout)), redirect_stderr(Safe(sys.stderr)):
        yield


def console(stderr: bool = False) -> "Console":
    """A console of rich that prints text as it is: without markup, without colours of its own, made safe."""
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment

    class SafeConsole(Console):
        def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
            for text, style, control in super().render(renderable, options):
                yield Segment(text if control else printable(text), style, control)

    stream = sys.stderr if stderr else sys.stdout
    file: IO[str] = getattr(stream, "rich_proxied_file", stream)
    width = None if file.isatty() else WIDTH
    return SafeConsole(file=file, stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def bars() -> "Progress":
    """Progress bars with the time remaining, gone at the end; use as a context."""
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    errors = console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
        redirect_stdout=sys.stdout.isatty(),  # rich would send what is printed on a redirected stdout to stderr
    )


def counted(n: int, noun: str) -> str:
    """`1 draft`, `2 drafts`."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def progress(things: Iterable[T], doing: str, total: int | None = None) -> Iterator[T]:
    """Go through things with a bar that says what is done, how far it is and how long it will take."""
    with bars() as shown:
        yield from shown.track(things, total, description=doing)


@contextmanager
def status(doing: str) -> Iterator[Callable[[str], None]]:
    """Say what is done as long as the block takes; the block may change it."""
    from rich.text import Text

    errors = console(stderr=True)
    if not errors.is_terminal:
        yield lambda doing: None
        return
    with errors.status(Text(doing)) as shown:
        yield lambda doing: shown.update(Text(doing))
