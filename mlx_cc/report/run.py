"""What `mlx_cc dashboard` and `mlx_cc table` do, from files to files."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from mlx_cc.answers import read_answers
from mlx_cc.centre import Centre, read_centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.files import count_conversations, read_conversations, write_text, written_together
from mlx_cc.redact import read_redacted
from mlx_cc.report.dashboard import build
from mlx_cc.report.dashboard_page import page_of
from mlx_cc.report.facts import facts_of, followed, profile_agents, read_agents
from mlx_cc.report.tables import Columns, agent_columns, agent_rows, conversation_rows, write_csv, write_parquet
from mlx_cc.temporal import TemporalFeatureEnhancer
from mlx_cc.terminal import progress, status

Format = Literal["csv", "parquet"]


def dashboard(
    source: Path | str,
    page: Path | str = "dashboard.html",
    *,
    profiles: Path | str | None = None,
    answers: Path | str | None = None,
    title: str = "Contact centre quality",
    timezone: str | None = None,
    centre: Centre | Path | str | None = None,
    texts: int | None = None,
    now: datetime | None = None,
) -> dict[str, Any]:
    """Write the page of a file of conversations: one HTML file that needs no network.

    Args:
        source: conversations or ChatML rows, with labels where there are any.
        page: the file to write. It holds the transcripts: keep it where the transcripts may be.
        profiles: folder that `fingerprint` wrote; None profiles the agents of these conversations.
        answers: a model's answers, as `mlx_cc analyze --json` prints them.
        timezone: IANA zone of conversations that name none.
        centre: its settings; None takes the defaults.
        texts: keep the transcripts of the latest so many conversations only; None keeps all.
        now: when the page is made; None asks the clock.

    Returns:
        output, bytes, conversations, transcripts (kept), agents, profiles (where they are from), answers (used), and
        answers_elsewhere (about conversations that are not in the file).

    Raises:
        UserError: a file is missing or is not what it should be, or has no conversation.
    """
    source, page = Path(source), Path(page)
    settings = centre if isinstance(centre, Centre) else read_centre(centre)
    enhancer = TemporalFeatureEnhancer(settings, timezone=timezone)
    agents = read_agents(Path(profiles)) if profiles else None
    model_answers = read_answers(answers) if answers else {}
    stream = read_redacted(source, settings.country)
    conversations = list(progress(stream, f"reading {source.name}", count_conversations(source)))
    if not conversations:
        raise _nothing_in(source)
    with status("profiling agents, packing transcripts"):
        made = build(
            facts_of(conversations, followed(conversations), enhancer),
            agents or profile_agents(conversations, settings.skills),
            model_answers,
            skills=settings.skills,
            title=title,
            source=source.name,
            now=now or datetime.now().astimezone(),
            texts=texts,
        )
        text = page_of(made)
    write_text(page, text)
    return {
        "output": str(page),
        "bytes": len(text.encode()),
        "conversations": len(conversations),
        "transcripts": made.meta["texts"],
        "agents": len(made.agents["profiles"]),
        **{name: made.meta[name] for name in ("profiles", "answers", "answers_elsewhere")},
    }


def table(
    source: Path | str,
    folder: Path | str = "tables",
    *,
    formats: Sequence[Format] = ("csv",),
    profiles: Path | str | None = None,
    answers: Path | str | None = None,
    timezone: str | None = None,
    centre: Centre | Path | str | None = None,
) -> dict[str, Any]:
    """Write a row a conversation and a row an agent, as CSV or Parquet, without transcripts.

    Args:
        source: conversations or ChatML rows, with labels where there are any.
        folder: where conversations.* and agents.* go.
        formats: csv, parquet or both.
        profiles: folder that `fingerprint` wrote; None profiles the agents of these conversations.
        answers: a model's answers, as `mlx_cc analyze --json` prints them.
        timezone: IANA zone of conversations that name none.
        centre: its settings; None takes the defaults.

    Returns:
        files (path -> rows), profiles (where they are from) and answers (how many there are).

    Raises:
        UserError: a file is missing or is not what it should be, or has no conversation.
    """
    source, folder = Path(source), Path(folder)
    settings = centre if isinstance(centre, Centre) else read_centre(centre)
    enhancer = TemporalFeatureEnhancer(settings, timezone=timezone)
    agents = read_agents(Path(profiles)) if profiles else None
    model_answers = read_answers(answers) if answers else {}
    total = count_conversations(source)

    def read(doing: str) -> Iterator[Conversation]:
        return progress(read_conversations(source), doing, total)

    columns = Columns()
    came_back = followed(columns.learn(read("finding labels")))
    if not columns.conversations:
        raise _nothing_in(source)
    agents = agents or profile_agents(read("profiling agents"), settings.skills)
    shape = columns.of_conversations(bool(model_answers))
    writers = {"csv": write_csv, "parquet": write_parquet}
    files: dict[str, int] = {}
    with written_together(folder / "conversations") as part:
        for name in dict.fromkeys(formats):
            rows = conversation_rows(facts_of(read(f"writing {name}"), came_back, enhancer), model_answers)
            file = f"conversations.{name}"
            files[str(folder / file)] = writers[name](part / file, shape, rows)
            file = f"agents.{name}"
            files[str(folder / file)] = writers[name](part / file, agent_columns(agents), agent_rows(agents))
    return {"files": files, "profiles": agents.origin, "answers": len(model_answers)}


def _nothing_in(source: Path) -> UserError:
    return UserError(f"{source}: has no conversation. Pass a file that `mlx_cc ingest` or `mlx_cc prepare` wrote.")
