"""Training data: conversations with labels -> temporal features, splits, ChatML files and their statistics.

The conversations are read twice, so that memory does not grow with the transcripts. The first pass keeps valid labels,
adds temporal features, and collects the issue classes and the training conversations within the limit. The second pass
writes the rows.
"""

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields
from dataclasses import replace as replace_fields
from pathlib import Path
from typing import Any

import msgspec

from mlx_cc.centre import Centre, read_centre, write_centre
from mlx_cc.conversation import Conversation, replace
from mlx_cc.errors import UserError
from mlx_cc.export import encode, row_maker
from mlx_cc.files import Row, read_conversations, write_conversations, write_json, written_together, written_whole
from mlx_cc.folders import DataFolder
from mlx_cc.ingest.analyses import with_valid_labels
from mlx_cc.ingest.format import Reject
from mlx_cc.ingest.rejects import Rejects
from mlx_cc.ingest.run import Transcripts
from mlx_cc.metrics import interval
from mlx_cc.prompt import Encoder, PromptSettings, build_task_tree
from mlx_cc.splits import SPLITS, Split, SplitKey, split_of, unit_interval
from mlx_cc.tasks import Task, all_tasks, pick
from mlx_cc.temporal import TemporalFeatureEnhancer

BASELINE_ROWS = 1_000
"""At most so many held-out conversations per task measure the baselines: a share is then within 3 points (95%)."""
FIT_ROWS = 20_000
"""At most so many training labels per task fit the baselines: more change a mean or a mode no more, and take memory."""

UNLABELLED = "no analysis: kept for inference"
BEYOND_LIMIT = "train side beyond the limit"


@dataclass(frozen=True)
class Options:
    """How the data are prepared."""

    prompt: PromptSettings = PromptSettings()  # noqa: RUF009  frozen
    """How rows are worded."""
    tasks: Sequence[str] = ()
    """Tasks that get rows; empty means all that are not optional."""
    split_by: SplitKey = "conversation"
    """Keep all conversations of one agent (or customer) in the same split."""
    shares: tuple[float, float] = (0.8, 0.1)
    """Shares of train and validation; the rest is test."""
    train_limit: int | None = None
    """Keep so many training conversations, those with the lowest hashes; None keeps all."""
    issues_from_labels: bool = False
    """The issue classes are those of the labels, not the centre's."""
    encoder: Encoder | None = None
    """Measures lengths in tokens; None counts words."""
    rejects: Callable[[Reject], Any] = lambda reject: None
    """Called with every conversation whose temporal features can't be computed."""
    progress: Callable[[int, int], Any] = lambda done, total: None
    """Called in the second pass with the conversations done and their total."""


def prepare(
    conversations: Iterable[Conversation], folder: Path | str, centre: Centre, options: Options = Options()
) -> dict[str, Any]:
    """Write the training files into a folder, where they appear together at the end; returns the statistics.

    Files: `{train,validation,test}_chatml.jsonl`, `conversations.jsonl` (all of them, for
    inference too), `centre.yaml`, `statistics.json`. The same input gives the same bytes.

    Raises:
        UserError: no conversation came, or none has a label of a task.
    """
    with written_together(DataFolder(Path(folder)).conversations) as part:
        return _prepare(conversations, DataFolder(part), centre, options)


@dataclass(frozen=True)
class Prepared:
    """What `prepare_files` did."""

    statistics: dict[str, Any]
    """As in statistics.json, with the reasons of rejects."""
    rejects: Rejects
    keys_not_used: Counter[str]
    """Key that no field of a record takes -> how often it was met."""


def prepare_files(
    paths: Sequence[Path | str],
    folder: Path | str = "data",
    *,
    centre: Centre | Path | str | None = None,
    **options: Any,
) -> Prepared:
    """Read transcripts or conversations and write the training files into a folder, as `mlx_cc prepare` does.

    What can't be read goes to rejects.jsonl in the folder, with the reason.

    Args:
        paths: files, and folders that are searched to any depth.
        folder: where the files go; they appear together at the end.
        centre: its settings; None takes the defaults.
        options: fields of `Options` (how files are made) and of `mlx_cc.ingest.run.Transcripts` (how they are read).

    Raises:
        UserError: there is nothing to read or to train on, or no test split is left.
    """
    if not paths:
        raise UserError("nothing to prepare. Pass --transcripts-dir FOLDER, or a conversations file.")
    names = [field.name for field in fields(Options) if field.name in options]
    making = Options(**{name: options.pop(name) for name in names})
    if sum(making.shares) >= 1:
        shares = " ".join(f"{share:g}" for share in making.shares)
        raise UserError(f"--shares {shares}: leaves nothing for test. Their sum must be below 1.")
    transcripts, made = Transcripts(paths, **options), DataFolder(Path(folder))
    centre = centre if isinstance(centre, Centre) else read_centre(centre)
    places = {"timezone": transcripts.timezone, "country": transcripts.country}
    centre = msgspec.structs.replace(centre, **{name: value for name, value in places.items() if value})
    with (
        written_together(made.conversations) as part,
        transcripts.opened(part, centre, made.prepared) as opened,
    ):
        written = opened.bars.add_task("writing", total=None)

        def show(done: int, total: int) -> None:
            opened.bars.update(written, completed=done, total=total)

        making = replace_fields(making, rejects=opened.rejects, progress=show)
        statistics = prepare(opened.conversations, part, centre, making)
    statistics["rejected"] = dict(opened.rejects.reasons.most_common())
    return Prepared(statistics, opened.rejects, opened.reading.ignored)


def _prepare(
    conversations: Iterable[Conversation], part: DataFolder, centre: Centre, options: Options
) -> dict[str, Any]:
    first = FirstPass(centre, options)
    total = write_conversations(part.conversations, first.run(conversations))
    if not total:
        reject = getattr(options.rejects, "first", None)
        raise UserError(f"no conversation could be read{f'; the first fault: {reject}' if reject else ''}.")
    if first.classes:
        centre = msgspec.structs.replace(centre, issues={"issues": tuple(sorted(first.classes))})
    write_centre(part.centre, centre)

    counted = Counted()
    rows_of = row_maker(centre, options.prompt, options.tasks)
    last_place = first.last_place()
    with ExitStack() as stack:
        files = {split: stack.enter_context(written_whole(part.chatml(split))) for split in SPLITS}
        for done, conversation in enumerate(read_conversations(part.conversations), 1):
            if done % 500 == 0 or done == total:
                options.progress(done, total)
            rows = rows_of(conversation)
            split, reason = _place(conversation, rows, options, last_place)
            if split is None:
                counted.left_out[reason] += 1
                continue
            files[split].write(encode(rows))
            counted.add(conversation, split, rows, _lengths(conversation, rows, centre, options))
    if not counted.conversations:
        dropped = f" Labels were dropped: {_most_frequent(first.dropped)}.{class_hint(first.dropped)}"
        dropped = dropped if first.dropped else ""
        raise UserError(f"none of {total} conversations has a usable label, so there is nothing to train on.{dropped}")
    statistics = {
        "conversations_read": total,
        **counted.summary(centre, options),
        "labels_dropped": _sorted(first.dropped),
    }
    write_json(part.statistics, statistics)
    return statistics


def _place(
    conversation: Conversation, rows: list[Row], options: Options, last_place: float | None
) -> tuple[Split | None, str]:
    """The split of a conversation; None and the reason when it gets no rows."""
    if not rows:
        return None, UNLABELLED
    try:
        split = split_of(conversation, options.split_by, options.shares)
    except UserError:
        return None, f"no {options.split_by} to split by"
    if split == "train" and last_place is not None and unit_interval(conversation.id) > last_place:
        return None, BEYOND_LIMIT
    return split, ""


class FirstPass:
    """The first pass: valid labels and temporal features, and what the second pass must know."""

    def __init__(self, centre: Centre, options: Options):
        self.dropped: Counter[str] = Counter()
        """Label and the reason why its value is not allowed -> how often."""
        self.classes: set[str] = set()
        self._centre = centre
        self._options = options
        self._tasks = {task.name for task in pick(options.tasks)}
        self._enhancer = TemporalFeatureEnhancer(centre)
        self._lowest: list[float] = []
        """A heap of the negated hashes of the training conversations kept so far."""

    def run(self, conversations: Iterable[Conversation]) -> Iterator[Conversation]:
        """Conversations with valid labels and temporal features."""
        auto = self._options.issues_from_labels
        for conversation in conversations:
            try:
                temporal = self._enhancer.temporal_of(conversation)
            except UserError as fault:
                place = conversation.provenance
                where = (place.file, place.line) if place else (conversation.id, None)
                self._options.rejects(Reject(*where, str(fault)))
                continue
            conversation = with_valid_labels(
                replace(conversation, temporal=temporal), self._centre, self.dropped, ("issue",) if auto else ()
            )
            if auto and "issue" in conversation.labels:
                conversation = self._learn_class(conversation)
            self._learn_limit(conversation)
            yield conversation

    def _learn_class(self, conversation: Conversation) -> Conversation:
        value = conversation.label("issue")
        if isinstance(value, str) and value.strip() and not set(",\n") & set(value):
            if value != "other":
                self.classes.add(value)
            return conversation
        self.dropped["issue: not a name without commas"] += 1
        return replace(conversation, labels={n: label for n, label in conversation.labels.items() if n != "issue"})

    def _learn_limit(self, conversation: Conversation) -> None:
        limit = self._options.train_limit
        if limit is None or not self._tasks & conversation.labels.keys():
            return
        try:
            if split_of(conversation, self._options.split_by, self._options.shares) != "train":
                return
        except UserError:
            return
        push = heapq.heappush if len(self._lowest) < limit else heapq.heappushpop
        push(self._lowest, -unit_interval(conversation.id))

    def last_place(self) -> float | None:
        """The highest hash among the training conversations kept; None without a limit."""
        if self._options.train_limit is None:
            return None
        return -self._lowest[0] if self._lowest else -1.0


def _lengths(conversation: Conversation, rows: list[Row], centre: Centre, options: Options) -> list[int]:
    """Length of each row in tokens or words, before rows that are too long are cut."""
    if options.encoder is not None:
        tasks = [all_tasks()[row.task] for row in rows]
        tree = build_task_tree(
            conversation, tasks, centre, options.encoder, options.prompt, max_tokens=1 << 30, answers=True
        )
        return [len(tree.trunk) + len(branch.prompt) + len(branch.answer) for branch in tree.branches]
    # The words before the question are the same in all rows, so they are counted once.
    system, user = rows[0].messages[0]["content"], rows[0].messages[1]["content"]
    shared = user.index("</transcript>\n\n") + len("</transcript>\n\n")
    before = len(system.split()) + len(user[:shared].split())
    return [
        before + len(row.messages[1]["content"][shared:].split()) + len(row.messages[2]["content"].split())
        for row in rows
    ]


@dataclass
class Counted:
    """Counts of the second pass."""

    conversations: Counter[str] = field(default_factory=Counter)
    rows: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Split -> task -> rows."""
    lengths: dict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    """Split -> length -> rows."""
    classes: dict[str, dict[str, Counter[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Counter))
    )
    """Task -> answer -> split -> rows."""
    sources: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    left_out: Counter[str] = field(default_factory=Counter)
    splits_of_agent: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    fit: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    held_out: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))

    def add(self, conversation: Conversation, split: Split, rows: list[Row], lengths: list[int]) -> None:
        """Count one conversation and its rows."""
        self.conversations[split] += 1
        for agent in conversation.agents:
            self.splits_of_agent[agent].add(split)
        for row, length in zip(rows, lengths, strict=True):
            label = conversation.labels[row.task]
            self.rows[split][row.task] += 1
            self.lengths[split][length] += 1
            self.sources[row.task][label.source] += 1
            if all_tasks()[row.task].answers is not None:
                self.classes[row.task][row.messages[2]["content"]][split] += 1
            values, most = (self.fit, FIT_ROWS) if split == "train" else (self.held_out, BASELINE_ROWS)
            if len(values[row.task]) < most:
                values[row.task].append(label.value)

    def summary(self, centre: Centre, options: Options) -> dict[str, Any]:
        """The statistics as plain values."""
        straddling = sum(len(splits) > 1 for splits in self.splits_of_agent.values())
        return {
            "settings": {
                "split_by": options.split_by,
                "train_limit": options.train_limit,
                "prompt": msgspec.to_builtins(options.prompt),
                "issue_classes": centre.issue_classes,
            },
            "conversations": {split: self.conversations[split] for split in SPLITS},
            "rows": {
                **{split: {**self.rows[split], "total": self.rows[split].total()} for split in SPLITS},
                "total": sum(rows.total() for rows in self.rows.values()),
            },
            "lengths": {
                "unit": "words" if options.encoder is None else "tokens",
                **{split: percentiles(self.lengths[split]) for split in SPLITS if self.lengths[split]},
            },
            "label_sources": {task: _sorted(sources) for task, sources in self.sources.items()},
            "classes": {
                task: {answer: dict(counts) for answer, counts in sorted(answers.items(), key=lambda a: -a[1].total())}
                for task, answers in self.classes.items()
            },
            "baselines": {
                name: baseline(task, self.fit[name], self.held_out[name])
                for name, task in all_tasks().items()
                if self.fit[name] and self.held_out[name]
            },
            "agents": {"total": len(self.splits_of_agent), "in_several_splits": straddling},
            "left_out": _sorted(self.left_out),
        }


def percentiles(lengths: Counter[int]) -> dict[str, int]:
    """p50, p95 and max of counted lengths: the smallest length that covers the share of rows."""
    total = lengths.total()
    found: dict[str, int] = {}
    covered = 0
    for length, rows in sorted(lengths.items()):
        covered += rows
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            if name not in found and covered >= share * total:
                found[name] = length
    return found


def baseline(task: Task, fit: list[Any], held_out: list[Any]) -> dict[str, Any]:
    """The best answer that ignores the conversation, fitted on train, and its measures on the held-out splits.

    The main measure comes with its 95% bootstrap interval; a measure without a value is None.
    """
    answer = task.constant(fit)
    predicted = [answer] * len(held_out)
    measured = {name: metric(held_out, predicted) for name, metric in task.metrics.items()}
    main = next(iter(task.metrics))
    estimate = interval(task.metrics[main], held_out, predicted, resamples=100)
    return {
        "answer": answer,
        "n": len(held_out),
        "metrics": {name: _rounded(value) for name, value in measured.items()},
        "interval": {main: [_rounded(estimate.low), _rounded(estimate.high)]},
    }


def _rounded(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(counts.most_common())


def class_hint(dropped: Mapping[str, int]) -> str:
    """The way out where labels were dropped because the centre has no such issue class; else empty."""
    if not any("issue classes" in reason for reason in dropped):
        return ""
    return " Pass --issues auto to take the issue classes from the labels, or list them in --centre FILE."


def _most_frequent(counts: Counter[str]) -> str:
    return "; ".join(f"{reason} ({n} times)" for reason, n in counts.most_common(2))
