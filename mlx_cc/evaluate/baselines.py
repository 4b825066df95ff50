"""Baselines of a tuned model: a constant answer, TF-IDF of the words, and the untuned model's hidden states.

All are fitted on the labels of the train split alone. The last two are linear models: logistic regression for classes,
ridge regression for numbers. Cross-validation inside the train split chooses the regularisation and the features.
"""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlx_cc.analyst import BATCH, MOST_TOKENS, Analyst
from mlx_cc.centre import Centre
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError
from mlx_cc.evaluate.predict import Predictions, Said, digest, fingerprint
from mlx_cc.files import written_whole
from mlx_cc.prompt import PromptSettings, Tree, build_tree, fact_line, groups, turn_lines
from mlx_cc.splits import unit_interval
from mlx_cc.tasks import Task
from mlx_cc.terminal import progress

NAMES = {"constant": "constant", "tfidf": "TF-IDF", "frozen": "frozen LM"}
"""Value of --baselines -> name in the report."""

FOLDS, FEWEST = 5, 10
"""Folds of the cross-validation; fewest labels for a fit, two a fold."""
MOST_CHOOSING = 2000
"""Most train conversations in the cross-validation, set by hand; the final fit uses all."""
MOST_WORDS = 50_000
"""Most words and pairs of words that are counted, set by hand; the most frequent ones stay."""
FEW = 300
"""With fewer train conversations, words of only one conversation are counted too. Set by hand."""


class Features(NamedTuple):
    """Conversations as input of a linear model."""

    name: str
    train: np.ndarray
    """Texts (N,) or states (N, hidden), a row for each train conversation."""
    held_out: np.ndarray
    scaler: Callable[[], Any]
    """Makes the scikit-learn transformer that is fitted on rows of `train`."""


class Baseline(NamedTuple):
    """A baseline's answers, and how it was fitted."""

    predictions: Predictions
    notes: dict[str, str]
    """Task -> the model fitted and its number of conversations, or why none was fitted."""


def constants(
    train: Sequence[Conversation], held_out: Sequence[Conversation], tasks: Sequence[Task], centre: Centre
) -> Predictions:
    """The best answers that ignore the conversation, from the train split's labels.

    The value is the task's constant; the probability of a label is its share in the train split with add-one smoothing.
    """
    predictions: Predictions = {c.id: {} for c in held_out}
    for task in tasks:
        values = [c.label(task.name) for c in train if task.name in c.labels]
        if not values:
            continue
        fixed = task.constant(values)
        seen = Counter(task.write(value, centre) for value in values)
        answers = len(task.answers(centre)) if task.answers else 0
        for c in held_out:
            p = None
            if answers and task.name in c.labels:
                p = (seen[task.write(c.label(task.name), centre)] + 1) / (len(values) + answers)
            predictions[c.id][task.name] = Said(fixed, p)
    return predictions


def tfidf(
    train: Sequence[Conversation],
    held_out: Sequence[Conversation],
    tasks: Sequence[Task],
    centre: Centre,
    settings: PromptSettings,
) -> Baseline:
    """Linear models on the words and pairs of words of the prompt, weighted by TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    train_texts, held_out_texts = (
        np.array([_text(c, settings) for c in split], dtype=object) for split in (train, held_out)
    )
    least = 1 if len(train) < FEW else 2
    counter = partial(TfidfVectorizer, ngram_range=(1, 2), sublinear_tf=True, min_df=least, max_features=MOST_WORDS)
    features = [Features("the words of the transcript", train_texts, held_out_texts, counter)]
    return _linear(NAMES["tfidf"], features, (1, 10, 100, 1000), (0.3, 1, 3, 10, 30), train, held_out, tasks, centre)


def frozen(
    analyst: Analyst,
    train: Sequence[Conversation],
    held_out: Sequence[Conversation],
    tasks: Sequence[Task],
    folder: Path,
    limit: int,
) -> Baseline:
    """Linear models on the untuned model's last hidden states: the mean over the prompt, or the last token's.

    Args:
        analyst: the untuned model, with the tuned one's centre and prompt.
        folder: keeps the states for later runs.
        limit: at most this many train conversations, drawn by a hash of their ids.
    """
    from sklearn.preprocessing import StandardScaler

    train = sorted(train, key=lambda c: unit_interval(c.id))[:limit]
    train_states, held_out_states = (kept_states(analyst, split, folder) for split in (train, held_out))
    features = [
        Features(name, train_states[:, number], held_out_states[:, number], StandardScaler)
        for number, name in enumerate(("mean of the states", "last state"))
    ]
    strengths = (1e-3, 1e-2, 1e-1, 1.0, 10.0), (1e2, 1e3, 1e4, 1e5)
    return _linear(NAMES["frozen"], features, *strengths, train, held_out, tasks, analyst.centre)


def _text(conversation: Conversation, settings: PromptSettings) -> str:
    """A conversation as in the prompt, without the numbers of its turns."""
    lines = [re.sub(r"^\[T\d+\] ", "", line) for line in turn_lines(conversation, settings)]
    return "\n".join([fact_line(conversation), *lines] if settings.facts else lines)


# States


def kept_states(analyst: Analyst, conversations: Sequence[Conversation], folder: Path) -> np.ndarray:
    """`states`, read from `folder` where the same model has computed them for the same tokens."""
    trees = _trees(analyst, conversations)
    path = folder / f"states-{digest(fingerprint(analyst), trees)}.npy"
    if path.exists():
        return np.load(path)
    computed = _states(analyst, trees)
    with written_whole(path) as file:
        np.save(file, computed)
    return computed


def states(analyst: Analyst, conversations: Sequence[Conversation]) -> np.ndarray:
    """Last hidden states, after the final norm, of prompts without a question: float32 (N, 2, hidden).

    The first of the two is the mean over the prompt's tokens, the second the state of its last token.

    Raises:
        UserError: the model's decoder can't be found.
    """
    return _states(analyst, _trees(analyst, conversations))


def _trees(analyst: Analyst, conversations: Sequence[Conversation]) -> list[Tree]:
    nothing = [("states", "", None)]
    return [build_tree(c, nothing, analyst.encoder, analyst.prompt, analyst.max_tokens) for c in conversations]


def _states(analyst: Analyst, trees: Sequence[Tree]) -> np.ndarray:
    import mlx.core as mx

    from mlx_cc.model import machine
    from mlx_cc.model.tree import padded

    if not hasattr(analyst.model, "model"):
        raise UserError(f"{analyst.name}: its hidden states can't be reached. Leave `frozen` out of --baselines.")
    row_of = {id(tree): row for row, tree in enumerate(trees)}
    states: list[Any] = [None] * len(trees)
    close = groups(trees, most_tokens=MOST_TOKENS)
    batches = [group[start : start + BATCH] for group in close for start in range(0, len(group), BATCH)]
    machine.suit_threads()
    with machine.wired_limit():
        for batch in progress(batches, f"{NAMES['frozen']}: states"):
            rows = [tree.rows[0] for tree in batch]
            hidden = analyst.model.model(padded(rows)).astype(mx.float32)
            both = [mx.stack([hidden[n, : len(row)].mean(0), hidden[n, len(row) - 1]]) for n, row in enumerate(rows)]
            for tree, pair in zip(batch, np.array(mx.stack(both)), strict=True):
                states[row_of[id(tree)]] = pair
    return np.stack(states)


# Linear models


class Head(NamedTuple):
    """A kind of linear model."""

    name: str
    guess: Callable[[Any, np.ndarray, Any, float], np.ndarray]
    """Train rows, their targets, other rows and a regularisation strength -> guesses for the other rows."""
    loss: Callable[[np.ndarray, np.ndarray], float]
    """Targets and guesses -> the loss that cross-validation minimises."""
    strengths: Sequence[float]


class Choice(NamedTuple):
    """The result of the cross-validation."""

    loss: float
    features: Features
    strength: float
    spread: float
    """Standard deviation of target minus guess over the held-out rows; 0 for classes."""


def _linear(
    name: str,
    features: Sequence[Features],
    strengths_of_classes: Sequence[float],
    strengths_of_numbers: Sequence[float],
    train: Sequence[Conversation],
    held_out: Sequence[Conversation],
    tasks: Sequence[Task],
    centre: Centre,
) -> Baseline:
    """A linear model for each task that has allowed answers; the constant answer where none can be fitted."""
    from sklearn.exceptions import ConvergenceWarning

    predictions, notes = Baseline({c.id: {} for c in held_out}, {})
    for task in tasks:
        if task.answers is None or not any(task.name in c.labels for c in train):
            continue
        answers = task.answers(centre)
        rows = [
            n
            for n, c in enumerate(train)
            if task.name in c.labels and task.write(c.label(task.name), centre) in answers
        ]
        values = [train[n].label(task.name) for n in rows]
        if task.number is not None:
            targets = np.array([task.number(value) for value in values])
            head = Head("ridge regression", _ridge, _squared_error, strengths_of_numbers)
            enough = len(set(targets)) > 1
        else:
            targets = np.array([answers.index(task.write(value, centre)) for value in values])
            guess = partial(_logistic, answers=len(answers))
            head = Head("logistic regression", guess, _log_loss, strengths_of_classes)
            enough = sum(count > 1 for count in Counter(targets.tolist()).values()) > 1
        if not enough or len(rows) < FEWEST:
            reason = f"{len(rows)} labels" if len(rows) < FEWEST else "one answer only"
            notes[task.name] = f"the constant answer: {reason} in the train split"
            for conversation_id, answer in constants(train, held_out, [task], centre).items():
                predictions[conversation_id].update(answer)
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            best = _choose(f"{name}: {task.name}", features, head, np.array(rows), targets)
            guesses = _fit(best.features, head, np.array(rows), targets, best.features.held_out, best.strength)
        for c, guess in zip(held_out, guesses, strict=True):
            predictions[c.id][task.name] = _answer(task, c, answers, guess, best.spread, len(rows), centre)
        notes[task.name] = f"{head.name} on {best.features.name} ({best.strength:g}), {len(rows)} train conversations"
    return Baseline(predictions, notes)


def _choose(name: str, features: Sequence[Features], head: Head, rows: np.ndarray, targets: np.ndarray) -> Choice:
    """The features and strength with the lowest loss in cross-validation.

    Folds are dealt out along the sorted targets, so a class with two rows is in two folds.
    """
    rng = np.random.default_rng(0)
    drawn = rng.permutation(len(rows))[:MOST_CHOOSING]
    rows, targets = rows[drawn], targets[drawn]
    fold = np.empty(len(rows), int)
    fold[np.argsort(targets, kind="stable")] = np.arange(len(rows)) % FOLDS
    guesses: dict[tuple[int, float], list[tuple[np.ndarray, np.ndarray]]] = {}
    steps = list(product(range(len(features)), range(FOLDS)))
    for number, out in progress(steps, name):
        inside, outside = fold != out, fold == out
        scaler, train = features[number].scaler(), features[number].train
        inputs, others = scaler.fit_transform(train[rows[inside]]), scaler.transform(train[rows[outside]])
        for strength in head.strengths:
            guess = head.guess(inputs, targets[inside], others, strength)
            guesses.setdefault((number, strength), []).append((targets[outside], guess))
    choices = []
    for (number, strength), parts in guesses.items():
        gold, guess = (np.concatenate(side) for side in zip(*parts, strict=True))
        spread = float((gold - guess).std()) if guess.ndim == 1 else 0.0
        choices.append(Choice(head.loss(gold, guess), features[number], strength, spread))
    return min(choices, key=lambda choice: choice.loss)


def _fit(
    features: Features, head: Head, rows: np.ndarray, targets: np.ndarray, others: np.ndarray, strength: float
) -> np.ndarray:
    scaler = features.scaler()
    return head.guess(scaler.fit_transform(features.train[rows]), targets, scaler.transform(others), strength)


def _logistic(inputs: Any, targets: np.ndarray, others: Any, strength: float, answers: int) -> np.ndarray:
    """Probabilities (M, answers), add-one smoothed: an answer that the train split lacks has one too."""
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=strength, max_iter=1000).fit(inputs, targets)
    p = np.zeros((others.shape[0], answers))
    p[:, fitted.classes_] = fitted.predict_proba(others)
    return (len(targets) * p + 1) / (len(targets) + answers)


def _ridge(inputs: Any, targets: np.ndarray, others: Any, strength: float) -> np.ndarray:
    from sklearn.linear_model import Ridge

    return Ridge(alpha=strength).fit(inputs, targets).predict(others)


def _log_loss(targets: np.ndarray, p: np.ndarray) -> float:
    return float(-np.log(p[np.arange(len(targets)), targets]).mean())


def _squared_error(targets: np.ndarray, guesses: np.ndarray) -> float:
    return float(((targets - guesses) ** 2).mean())


def _answer(
    task: Task, conversation: Conversation, answers: Sequence[str], guess: Any, spread: float, n: int, centre: Centre
) -> Said:
    """A linear model's guess as an answer to the task.

    Args:
        guess: the probability of each answer, or a number on the task's scale.
        spread: standard deviation of the number's error.
        n: number of train conversations.
    """
    assert task.read is not None
    if task.number is None:
        p, shown = guess, dict(zip(answers, map(float, guess), strict=True))
    else:
        scale = np.array(answers, float)
        p = (n * _bell(scale, float(guess), spread) + 1) / (n + len(answers))
        shown = {repr(float(np.clip(guess, scale[0], scale[-1]))): 1.0}
    text = task.write(conversation.label(task.name), centre) if task.name in conversation.labels else None
    chance = float(p[answers.index(text)]) if text in answers else None
    return Said(task.read(shown, centre).value, chance)


def _bell(scale: np.ndarray, middle: float, spread: float) -> np.ndarray:
    """Share of a normal distribution that is nearest to each point of an ascending scale; sums to 1."""
    from scipy.stats import norm

    borders = (scale[1:] + scale[:-1]) / 2
    below = np.concatenate([[0.0], norm.cdf(borders, middle, max(spread, 1e-6)), [1.0]])
    return np.diff(below)
