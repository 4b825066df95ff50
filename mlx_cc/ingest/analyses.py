"""Analyses of conversations by a reviewer, a survey or a larger model, read as labels.

A folder of JSON files, one conversation each, or JSON lists or JSON lines of the same objects:

    {"conversation_id": "call-17", "source": "human_qa", "quality_score": 85, "csat_score": 4,
     "issue": "billing_error", "churn_risk": 20, "journey_type": "billing_account",
     "contact_role": "first_contact", "resolution_status": "resolved", "empathy": 80,
     "coaching": [{"skill": "...", "action": "...", "expected_outcome": "...", "turn": 9}]}
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, cast

import msgspec

from mlx_cc.centre import Centre
from mlx_cc.conversation import SOURCES, Conversation, Label, Source, replace
from mlx_cc.errors import UserError
from mlx_cc.ingest import read_folder
from mlx_cc.ingest.format import Reading, Reject
from mlx_cc.ingest.rejects import Rejects
from mlx_cc.ingest.source import File, from_json, input_files, open_file
from mlx_cc.tasks import SKILL_SCALE, SKILLS, all_tasks, as_number, first


def labels_of(tree: dict[str, Any], source: str) -> dict[str, Label]:
    """The labels of one analysis; values are not checked yet.

    Raises:
        UserError: its `source` is not one of the known ones.
    """
    source = tree.get("source") or source
    if source not in SOURCES:
        raise UserError(f"source {source!r} is not one of {', '.join(SOURCES)}.")
    values = {name: task.find(tree) for name, task in all_tasks().items()}
    values |= {skill: as_number(first(tree, keys)) for skill, keys in SKILLS.items()}
    return {n: Label(value=v, source=cast("Source", source)) for n, v in values.items() if v is not None}


def label_value(name: str, value: Any) -> Any:
    """A value in the form its label has: numbers written as text as numbers, quality as {"score"}."""
    task = all_tasks().get(name)
    return task.value(value) if task else as_number(value) if name in SKILLS else value


def fault_of(name: str, value: Any, centre: Centre, turns: int) -> str | None:
    """What is wrong with a label's value, or None; a label that is neither a task nor a skill is let through."""
    task = all_tasks().get(name)
    if task is not None:
        return task.fault(value, centre, turns)
    return SKILL_SCALE.fault(value) if name in SKILLS else None


def with_valid_labels(
    conversation: Conversation, centre: Centre, dropped: Counter[str], unchecked: Collection[str] = ()
) -> Conversation:
    """The conversation without labels whose value is not allowed; each is counted under its reason."""
    faults: dict[str, str] = {}
    for name, label in conversation.labels.items():
        if name not in unchecked:
            fault = fault_of(name, label.value, centre, len(conversation.turns))
            if fault is not None:
                faults[name] = fault
    if not faults:
        return conversation
    for name, fault in faults.items():
        dropped[f"{name}: {fault.partition(' (')[0]}"] += 1
    return replace(conversation, labels={name: la for name, la in conversation.labels.items() if name not in faults})


class Analyses:
    """The labels of a folder (or file) of analyses, kept until their conversations are read.

    Args:
        path: the folder or file.
        label_source: the source of analyses that name none.
        rejects: called with every analysis that can't be read, or whose id occurred before.
        ignored: counts unused keys.

    Labels wait as encoded bytes, some 0.6 kB a conversation.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        label_source: str = "teacher",
        rejects: Callable[[Reject], Any],
        ignored: Counter[str] | None = None,
    ):
        if label_source not in SOURCES:
            raise UserError(f"label source '{label_source}' is not one of {', '.join(SOURCES)}.")
        self._source = label_source
        self._rejects = rejects
        self._ignored = Counter() if ignored is None else ignored
        tasks = all_tasks().values()
        self._known = {"conversation_id", "id", "source"}.union(
            *(task.keys for task in tasks), *(task.more_keys for task in tasks), *SKILLS.values()
        )
        self._waiting: dict[str, tuple[bytes, str]] = {}
        """Conversation id -> encoded labels, file."""
        for file in input_files([path]):
            self._read(file)
        self.count = len(self._waiting)

    def _read(self, path: Path) -> None:
        try:
            file = open_file(path)
            objects = list(_objects(file)) if file.suffix not in (".jsonl", ".ndjson") else _lines(file)
            for place, found in objects:
                try:
                    self._keep(from_json(found) if isinstance(found, bytes) else found, file, place)
                except UserError as fault:
                    self._rejects(Reject(str(path), place, f"analysis {fault}"))
        except UserError as fault:
            self._rejects(Reject(str(path), None, f"analysis {str(fault).removeprefix(f'{path}: ')}"))

    def _keep(self, tree: Any, file: File, place: int | None) -> None:
        if not isinstance(tree, dict):
            raise UserError("is not a JSON object.")
        name = tree.get("conversation_id") or tree.get("id") or (file.stem if place is None else None)
        if name is None:
            raise UserError("has no conversation_id.")
        if str(name) in self._waiting:
            raise UserError(f"for '{name}' was already read from {self._waiting[str(name)][1]}; the first one is kept.")
        for key in tree.keys() - self._known:
            self._ignored[f"analysis {key}"] += 1
        self._waiting[str(name)] = (msgspec.json.encode(labels_of(tree, self._source)), str(file.path))

    def attach(self, conversations: Iterable[Conversation]) -> Iterator[Conversation]:
        """Conversations with the labels of their analysis; after the last, rejects analyses without a conversation.

        Where a conversation has such a label already, the better source wins, in the order
        human_qa, survey, platform, teacher, simulated; on a tie the analysis.
        """
        for conversation in conversations:
            waiting = self._waiting.pop(conversation.id, None)
            if waiting is None:
                yield conversation
                continue
            labels = dict(conversation.labels)
            for name, label in _decode(waiting[0]).items():
                if name not in labels or SOURCES.index(label.source) <= SOURCES.index(labels[name].source):
                    labels[name] = label
            yield replace(conversation, labels=labels)
        for name, (_, file) in self._waiting.items():
            self._rejects(Reject(file, None, f"analysis of '{name}' has no transcript."))


_decode = msgspec.json.Decoder(dict[str, Label]).decode


def _lines(file: File) -> Iterator[tuple[int | None, Any]]:
    yield from file.lines()


def _objects(file: File) -> Iterator[tuple[int | None, Any]]:
    """(place in a list or None, object) of a JSON document."""
    document = from_json(file.text())
    if isinstance(document, list):
        yield from enumerate(document, 1)
    else:
        yield None, document


def read_labelled(
    paths: Iterable[Path | str],
    reading: Reading,
    rejects: Rejects,
    format: str = "auto",
    analyses: Path | str | None = None,
    label_source: str = "teacher",
    strict: bool = False,
    processes: int = 1,
) -> Iterator[Conversation]:
    """`read_folder` with the labels of a folder of analyses attached.

    Raises:
        UserError: with `strict`, at the first reject.
    """
    found = None
    if analyses is not None:
        found = Analyses(analyses, label_source=label_source, rejects=rejects, ignored=reading.ignored)
    stream = read_folder(paths, reading, rejects=rejects, format=format, processes=processes)
    for conversation in stream if found is None else found.attach(stream):
        if strict and rejects.first:
            break
        yield conversation
    if strict and rejects.first:
        raise UserError(f"{rejects.first} Nothing was written (--strict).")
