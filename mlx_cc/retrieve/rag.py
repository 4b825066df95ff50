"""Retrieval-augmented analysis: similar earlier conversations, what they teach, and a model's answers with them.

rag = ContactCenterRAG(chroma_path="data/index", collection_name="contact_center_transcripts")
cases = rag.retrieve_similar("Customer frustrated about billing error", n_results=5,
                             filters={"quality_score": {"$gte": 80}})
rag.extract_best_practices(cases)
rag.analyze_with_rag(transcript, n_similar=3)["enhanced_prompt"]
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.prompt import SYSTEM, Cases, PromptSettings, body, fact_line, turn_lines
from mlx_cc.retrieve.check import faults_since_closed
from mlx_cc.retrieve.embed import DEFAULT, Embedder, embedder
from mlx_cc.retrieve.entries import COLLECTION, SEARCHED, Mode, Part, entry_id
from mlx_cc.retrieve.filters import Where, every, where
from mlx_cc.retrieve.folder import WORDS
from mlx_cc.retrieve.index import Index, open_index
from mlx_cc.retrieve.indexing import (
    Indexed,
    forget_all_but,
    index_conversations,
    read,
    refuse_to_remove_most,
    sources,
    without_split,
)
from mlx_cc.retrieve.practices import extract_best_practices, in_words, outcomes
from mlx_cc.retrieve.rerank import LOOKED_AT, SHOWN, reranked
from mlx_cc.retrieve.search import Case, Finder, its_own, query_of
from mlx_cc.tasks.coaching import CASE

if TYPE_CHECKING:
    from mlx_cc.analyst import Analyst

COUNTED = 20
"""Number of similar conversations whose outcomes are counted."""

Labelled = tuple[Conversation, str | None]
"""A conversation and its split."""


class ContactCenterRAG:
    """An index of earlier conversations in Chroma, and what is done with it.

    The index is opened on first use. From then until `close()`, or the end of a `with` block, its folder is locked
    against other processes, which would corrupt it.
    """

    def __init__(
        self,
        chroma_path: str | Path | None = None,
        collection_name: str = COLLECTION,
        *,
        chroma_host: str | None = None,
        embedder: str | Embedder | None = None,
        analyst: "Analyst | None" = None,
    ):
        """Name the index; nothing is opened yet.

        Args:
            chroma_path: folder of the index.
            collection_name: the Chroma collection in it.
            chroma_host: `HOST:PORT` of a Chroma server, instead of a folder.
            embedder: what turns texts into vectors, as `mlx_cc rag index --embedder` takes it; None is the
                index's own, all-minilm-l6-v2 for a new one.
            analyst: a loaded model, whose answers `analyze_with_rag` then gives too.

        Raises:
            UserError: neither a folder nor a server is given, or both.
        """
        if (chroma_path is None) == (chroma_host is None):
            raise UserError("where is the index? Give a folder (chroma_path) or a server (chroma_host), not both.")
        self._place: Path | str = chroma_host if chroma_host is not None else Path(str(chroma_path)).expanduser()
        self.collection_name, self.analyst = collection_name, analyst
        self._wanted = embedder
        self._finder: Finder | None = None

    def __enter__(self) -> "ContactCenterRAG":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the index; it is opened again on the next use."""
        if finder := self._finder:
            self._finder = None
            finder.index.close()

    @property
    def finder(self) -> Finder:
        """The open index.

        Raises:
            UserError: there is none, it is empty, it can't be read, or it was made with another embedder.
        """
        if self._finder is None:
            self._refuse_damaged()
            index = open_index(self._place, self.collection_name)
            self._finder = self._found(index)
        if not self._finder.index.count():
            self.close()
            raise UserError(f"{self._place}, collection {self.collection_name}: empty. Run `mlx_cc rag index`.")
        return self._finder

    def index(
        self,
        conversations: Iterable[Conversation],
        *,
        rebuild: bool = False,
        prune: bool = False,
        prune_most: bool = False,
        done: Callable[[int, int], Any] = lambda done, total: None,
    ) -> Indexed:
        """Add conversations; those that are in the index unchanged are left alone. `index_files` takes files.

        Args:
            conversations: with or without labels.
            rebuild: make the index anew, as for another embedder. The old one stays until the new one is whole; a
                rebuild that was killed continues.
            prune: remove conversations that are not among these.
            prune_most: let `prune` or `rebuild` remove more than half of the index.
            done: called after each batch with the conversations done so far and their number (0: unknown).

        Raises:
            UserError: something is not a conversation, more than half would be removed, another process holds the
                index, or it was made with another embedder.
        """
        total = len(conversations) if isinstance(conversations, Sequence) else 0
        return self._index(without_split(conversations), {}, total, rebuild, prune, prune_most, done)

    def index_files(
        self,
        paths: Iterable[str | Path],
        *,
        rebuild: bool = False,
        prune: bool = False,
        prune_most: bool = False,
        done: Callable[[int, int], Any] = lambda done, total: None,
    ) -> Indexed:
        """`index` for files of records or ChatML rows (plain or gzipped) and for data folders with their splits.

        Raises:
            UserError: also when a file can't be read.
        """
        files = sources(paths)
        previous, total = {}, 0
        for conversation, _ in read(files):  # a contact may stand before the one it follows
            total += 1
            if conversation.previous_contact_id:
                previous[conversation.id] = conversation.previous_contact_id
        return self._index(read(files), previous, total, rebuild, prune, prune_most, done)

    def _index(
        self,
        pairs: Iterator[Labelled],
        previous: dict[str, str],
        total: int,
        rebuild: bool,
        prune: bool,
        prune_most: bool,
        done: Callable[[int, int], Any],
    ) -> Indexed:
        first = list(islice(pairs, 1))  # a wrong type is refused before anything is opened
        self.close()
        if not rebuild:
            self._refuse_damaged()
        damaged = rebuild and self._faults()
        go_on = not (rebuild and self._faults(self.collection_name))
        make = self._embedder(self._wanted or self._made_with() or DEFAULT)
        index = open_index(self._place, self.collection_name, make, rebuild, go_on)
        try:
            self._finder = Finder(index, make, self._cache())
            ids: set[str] = set()
            stream = _noted(chain(first, pairs), ids)
            report = index_conversations(index, make, stream, previous, lambda count: done(count, total))
            if prune or rebuild:
                if not (prune_most or damaged):  # Chroma crashes when it reads ids behind damaged vectors
                    refuse_to_remove_most(index, ids, report.added)
                report = report._replace(removed=forget_all_but(index, ids))
            index.take_place()
            return report
        except BaseException:
            self.close()
            raise

    def retrieve_similar(
        self,
        query: str | Conversation,
        n_results: int = 5,
        filters: Mapping[str, Any] | None = None,
        *,
        mode: Mode = "hybrid",
        parts: Sequence[Part] = SEARCHED,
        rerank: bool = False,
    ) -> list[Case]:
        """The most similar conversations, best first; fewer where fewer are there or pass the filters.

        Args:
            query: a sentence, a transcript with role labels, or a conversation, which itself is never found.
            filters: field -> value, or field -> {"$gte": 80} with $eq, $ne, $gt, $gte, $lt, $lte, $in or $nin. Several
                keys must all hold; "$or" and "$and" take lists of filters. The fields are `entries.FIELDS`.
            mode: both rankings fused, or one: `dense` (vectors) or `words` (BM25).
            parts: which entries are searched: conversation, problem, resolution.
            rerank: let the model rank the best 20, or `n_results`, again: slow, and only as good as the model.

        Raises:
            UserError: no query, no model to rerank with, no such field or operator, or an index that can't be used.
        """
        if n_results < 1:
            raise UserError(f"n_results {n_results}: ask for at least 1.")
        if rerank and self.analyst is None:
            raise UserError("reranking needs a model: ContactCenterRAG(..., analyst=mlx_cc.load(MODEL)).")
        itself = {"conversation_id": {"$eq": query.id}} if isinstance(query, Conversation) else None
        said, most = query_of(query), max(n_results, LOOKED_AT) if rerank else n_results
        found = self.finder.similar(said, most, where(filters), mode, parts, itself)
        return reranked(self.analyst, said, found)[:n_results] if rerank and self.analyst else found

    def cases(
        self,
        query: str | Conversation,
        n_similar: int = 3,
        filters: Mapping[str, Any] | None = None,
        only: Where | None = None,
    ) -> tuple[list[Case], Cases]:
        """Similar conversations, and as a model is shown them: the `n_similar` best, and how the 20 best ended.

        Of a conversation, its own customer's contacts and its own chain are left out.

        Args:
            only: a further condition, as `filters.where` gives it.
        """
        own = its_own(query, self._thread(query)) if isinstance(query, Conversation) else None
        allowed = every([where(filters), only])
        found = self.finder.similar(query_of(query), max(n_similar, COUNTED), allowed, but=own)
        shown = tuple(_shown(case) for case in found[:n_similar])
        return found, Cases(shown, in_words(outcomes(found), len(found)))

    def analyze_with_rag(
        self, transcript: str | Conversation, n_similar: int = 3, filters: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """A prompt about a transcript that holds similar cases, and the model's answers to it where there is one.

        Returns:
            enhanced_prompt (system line, cases, transcript), context (the cases alone), similar_cases (the
            `n_similar` best), outcomes (counted over the 20 best, as `extract_best_practices` gives them), and
            analysis (`Analyst.analyze` with the cases in view, a coaching recommendation's `case` being the id of the
            conversation it follows, or None; None without a model).
        """
        conversation = self._conversation(transcript)
        found, cases = self.cases(conversation, n_similar, filters)
        settings = self.analyst.prompt if self.analyst else PromptSettings()
        lines = turn_lines(conversation, settings)
        facts = fact_line(conversation) if settings.facts else ""
        analysis = self.analyst.analyze(conversation, cases=cases) if self.analyst else None
        for advice in analysis["coaching"] if analysis else []:
            followed = advice.get(CASE)
            advice[CASE] = found[followed - 1].conversation_id if followed else None
        return {
            "enhanced_prompt": f"{SYSTEM}\n\n{body(lines, facts, cases=cases.text())}".rstrip(),
            "context": cases.text().strip(),
            "similar_cases": found[:n_similar],
            "outcomes": extract_best_practices(found)["outcomes"],
            "analysis": analysis,
        }

    def extract_best_practices(self, cases: Sequence[Case]) -> dict[str, Any]:
        """What the cases that ended well have in common, counted; see `mlx_cc.extract_best_practices`."""
        return extract_best_practices(cases)

    def _thread(self, conversation: Conversation) -> str:
        """The first contact of a conversation's chain, as far as the index knows it."""
        known = [conversation.id, *([conversation.previous_contact_id] if conversation.previous_contact_id else [])]
        rows = self.finder.index.metadata([entry_id(name, "problem") for name in known])
        threads = (rows[entry]["thread"] for name in known if (entry := entry_id(name, "problem")) in rows)
        return str(next(threads, known[-1]))

    def _conversation(self, transcript: str | Conversation) -> Conversation:
        if self.analyst:
            return self.analyst.conversation(transcript)
        if isinstance(transcript, Conversation):
            return transcript
        from mlx_cc.conversation import Turn
        from mlx_cc.ingest.text import parse

        if not transcript.strip():
            raise UserError("the transcript is empty. Give what was said, one turn a line.")
        try:
            return parse(transcript, "transcript")
        except UserError:  # nobody is named as the speaker
            return Conversation(id="transcript", turns=(Turn(role="unknown", text=transcript.strip()),))

    def _found(self, index: Index) -> Finder:
        try:
            made = index.embedder.rpartition("@")[0]
            return Finder(index, self._embedder(self._wanted or made or DEFAULT), self._cache())
        except BaseException:
            index.close()
            raise

    def _embedder(self, wanted: str | Embedder) -> Embedder:
        return embedder(wanted) if isinstance(wanted, str) else wanted

    def _made_with(self) -> str | None:
        """Name of the embedder the index was made with; None when there is no index yet."""
        try:
            with open_index(self._place, self.collection_name) as index:
                return index.embedder.rpartition("@")[0] or None
        except UserError:
            return None

    def _refuse_damaged(self) -> None:
        if faults := self._faults():
            raise UserError(f"{self._place}: {faults[0]}.")

    def _faults(self, next_alone: str | None = None) -> list[str]:
        return faults_since_closed(self._place, next_alone) if isinstance(self._place, Path) else []

    def _cache(self) -> Path | None:
        """Where the word index is kept: beside Chroma's files; for a server, nowhere."""
        return None if isinstance(self._place, str) else self._place / WORDS / self.collection_name


def _noted(
    pairs: Iterable[tuple[Conversation, str | None]], ids: set[str]
) -> Iterator[tuple[Conversation, str | None]]:
    for conversation, split in pairs:
        ids.add(conversation.id)
        yield conversation, split


def _shown(case: Case) -> str:
    """A case as a model is shown it: labels, what the customer wanted, how it ended."""
    known = [str(case.metadata[name]) for name in ("issue", "resolution_status") if name in case.metadata]
    if "csat_score" in case.metadata:
        known.append(f"CSAT {case.metadata['csat_score']:g}")
    return "\n".join(
        [
            f"Known: {', '.join(known)}" if known else "Known: nothing",
            f"Customer: {_cut(case.problem)}",
            f"End: {_cut(case.resolution)}",
        ]
    )


def _cut(text: str) -> str:
    text = " / ".join(text.split("\n"))
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 6]} [...]"
