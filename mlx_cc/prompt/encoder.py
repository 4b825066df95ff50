"""Words to tokens for one tokenizer: chat template, end of turn, thinking block, and text that attacks them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol


class Tokenizer(Protocol):
    """What is used of an mlx-lm or transformers tokenizer."""

    chat_template: Any
    eos_token_id: int

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]: ...
    def decode(self, tokens: list[int]) -> str: ...
    def apply_chat_template(self, messages: Any, **options: Any) -> Any: ...


ASKED = ({"role": "user", "content": "?"},)
PROBES = ("4", "billing_error", "[{", "<thinking>")
"""Answers that begin differently. All tokens before them belong to the prompt."""
THOUGHTS = (("<think>", "</think>"), ("<thought>", "</thought>"))
"""Marks of a thinking block in chat templates, besides those that mlx-lm finds in the vocabulary."""


class Encoder:
    """Words to tokens for one tokenizer.

    A prompt ends where the text of an answer begins: behind an empty thinking block where the template has one, and
    behind whatever else it writes before each reply. So training, reading and decoding start at the same token.
    """

    lead: str
    """White space before every answer that its first token includes (" " in `Answer: billing`), so that the prompt
    can't hold it. A grammar begins with it."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self._has_template = bool(tokenizer.chat_template) or getattr(tokenizer, "has_chat_template", False)
        self._answers: dict[str, tuple[int, ...]] = {}
        self._marks = re.compile("(?!)")
        self._folds_system = False
        self._thoughts = self._find_thoughts()
        self._opens_thoughts = self._is_open(self._text(ASKED, enable_thinking=True))
        self._marks = re.compile("|".join(map(re.escape, sorted(self._find_marks(), key=len, reverse=True))) or "(?!)")
        self._folds_system = self._refuses_system()
        self._find_opening()

    def _find_thoughts(self) -> tuple[str, str] | None:
        """The marks that open and close a model's thoughts."""
        if start := getattr(self.tokenizer, "think_start", None):
            return start, getattr(self.tokenizer, "think_end", "")
        template = str(self.tokenizer.chat_template)
        return next((pair for pair in THOUGHTS if pair[0] in template or pair[1] in template), None)

    def _is_open(self, text: str) -> bool:
        """Whether a text ends inside a thinking block."""
        start, end = self._thoughts or ("", "")
        return bool(start) and start in text and end not in text.rpartition(start)[2]

    def _find_marks(self) -> set[str]:
        """What only the chat template may write: added tokens, and marks such as [INST] that are plain text.

        Many tokenizers list only their end token as special, so all added tokens count, but for words and white space.
        """
        added = (getattr(self.tokenizer, "added_tokens_decoder", None) or {}).values()
        marks = {*(getattr(self.tokenizer, "all_special_tokens", None) or ()), *map(str, added)}
        marks = {mark for mark in marks if re.search(r"[^\w\s]", mark)} | {*(self._thoughts or ())}
        if self._has_template:
            rendered = self._text([{"role": "user", "content": "Usr0"}, {"role": "assistant", "content": "Asst0"}])
            marks |= set(re.findall(r"<[^<>\s]+>|\[[^\[\]\s]+\]", rendered))
        return {mark for mark in marks if len(mark) > 1}

    def _refuses_system(self) -> bool:
        if not self._has_template:
            return False
        try:
            text = self._text([{"role": "system", "content": "Sys0"}, {"role": "user", "content": "Usr0"}])
        except Exception:  # templates raise whatever their jinja code likes
            return True
        return "Sys0" not in text

    def _find_opening(self) -> None:
        """Find what stands between the template's own prompt and an answer, on the tokens of some answers."""
        text, prompt = self._text(ASKED), self._tokens(ASKED)
        between, self._writes_end = "" if self._has_template else " ", False
        if self._thoughts and self._is_open(text):
            line_breaks = len(text) - len(text.rstrip("\n"))
            between = "\n" * (2 - line_breaks) + f"{self._thoughts[1]}\n\n"
        elif self._has_template:
            reply = [*ASKED, {"role": "assistant", "content": PROBES[1]}]
            answered = self._text(reply)
            if answered.startswith(text):
                between = answered[len(text) :].partition(PROBES[1])[0]
                self._writes_end = self.tokenizer.eos_token_id in self._tokens(reply)[len(prompt) :]
        self._before = text + between
        answers = [self._with_answer(probe) for probe in PROBES]
        start = answers[0][: common_prefix(answers)]
        same = common_prefix([prompt, start])
        self._replaced, self._opening = prompt[same:], start[same:]
        self.lead = between if between.isspace() and not self._opening else ""

    def harmless(self, text: str) -> str:
        """Text from outside, with every mark of this tokenizer and its chat template broken up by a space."""
        while (broken := self._marks.sub(lambda mark: f"{mark[0][0]} {mark[0][1:]}", text)) != text:
            text = broken
        return text

    def prompt(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Token ids of system and user messages up to where the answer starts."""
        ids = self._tokens(messages)
        end = len(ids) - len(self._replaced)
        return [*ids[:end], *self._opening] if ids[end:] == self._replaced else ids

    def _clean(self, messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
        clean = [{"role": m["role"], "content": self.harmless(self._without_thoughts(m))} for m in messages]
        if self._folds_system and clean[0]["role"] == "system":
            system, user, *rest = clean
            clean = [{"role": user["role"], "content": f"{system['content']}\n\n{user['content']}"}, *rest]
        return clean

    def _without_thoughts(self, message: Mapping[str, str]) -> str:
        """A message's text; of the model's own, what comes after its thoughts."""
        text = message["content"]
        if self._thoughts and message["role"] == "assistant" and self._thoughts[1] in text:
            return text.rpartition(self._thoughts[1])[2].lstrip()
        return text

    def _text(self, messages: Sequence[Mapping[str, str]], **options: Any) -> str:
        """Messages as the template writes them, thinking switched off where it can be."""
        if not self._has_template:
            return "\n\n".join(m["content"] for m in self._clean(messages)) + "\n\nAnswer:"
        return self.tokenizer.apply_chat_template(
            self._clean(messages), **self._options(messages, options), tokenize=False
        )

    def _tokens(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokens of `_text`."""
        if not self._has_template:
            return list(self.tokenizer.encode(self._text(messages)))
        ids = self.tokenizer.apply_chat_template(self._clean(messages), **self._options(messages), tokenize=True)
        return list(ids["input_ids"] if isinstance(ids, Mapping) else ids)

    def _options(self, messages: Sequence[Mapping[str, str]], more: Mapping[str, Any] = {}) -> dict[str, Any]:
        return {"add_generation_prompt": messages[-1]["role"] == "user", "enable_thinking": False, **more}

    def _with_answer(self, text: str) -> list[int]:
        """Tokens of a short prompt and an answer to it, and of the reply's end where the template writes it."""
        if self._writes_end:
            return self._tokens([*ASKED, {"role": "assistant", "content": text}])
        whole = self._before + self.harmless(text)
        return list(self.tokenizer.encode(whole, add_special_tokens=not self._has_template))

    def answer(self, text: str) -> tuple[int, ...]:
        """Token ids of an answer, its end-of-turn token last; the same wherever the answer stands."""
        if len(text) > 1_000:  # a chain, which hardly comes twice
            return self._encode_answer(text)
        if text not in self._answers:
            if len(self._answers) > 10_000:
                self._answers.clear()
            self._answers[text] = self._encode_answer(text)
        return self._answers[text]

    def _encode_answer(self, text: str) -> tuple[int, ...]:
        end = self.tokenizer.eos_token_id
        prompt, whole = self.prompt(ASKED), self._with_answer(text)
        tail = whole[len(prompt) :]
        if whole[: len(prompt)] != prompt or tail[0] == end:
            tail = self.tokenizer.encode(self.harmless(text), add_special_tokens=False)
        return tuple(tail[: tail.index(end)] if end in tail else tail) + (end,)

    def reply(self, pieces: Iterable[str]) -> Iterator[str]:
        """A model's reply, piece by piece, without its thoughts.

        A template that opens a thinking block by itself is for models that think without opening one. Their replies
        are held back until the thoughts have ended, or the reply.
        """
        if not self._thoughts:
            yield from pieces
            return
        start, end = self._thoughts
        waiting, held, thought = True, "", False
        for piece in pieces:
            held += piece
            if waiting and end in held:
                held, thought = held.rpartition(end)[2], True
            if waiting and (thought or not self._opens_thoughts):
                held = held.lstrip()
                waiting = not held or (not thought and start.startswith(held[: len(start)]))
            if not waiting:
                yield held
                held = ""
        if waiting and not held.lstrip().startswith(start):
            yield held


def common_prefix(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with."""
    differs = (index for index, tokens in enumerate(zip(*rows, strict=False)) if len(set(tokens)) > 1)
    return next(differs, min(map(len, rows)))
