"""A chat with a model, about a conversation or in general, kept within what the model was tuned for."""

from collections.abc import Generator

from mlx_cc.analyst import Analyst
from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError


class Chat:
    """A chat and its history. When the history grows too long, the oldest exchange is dropped first."""

    def __init__(self, analyst: Analyst, conversation: Conversation | None = None):
        self.analyst = analyst
        self.forgotten = 0
        """Exchanges dropped to make room for the last question."""
        self.open(conversation)

    def open(self, conversation: Conversation | None) -> int:
        """Start a new chat about a conversation or about none; returns how many of its turns were left out to fit."""
        self.conversation = conversation
        self.exchanges: list[tuple[str, str]] = []
        if conversation is None:
            self._opening: list[dict[str, str]] = []
            return 0
        self._opening, omitted = self.analyst.opening(conversation, self.analyst.max_tokens // 2)
        return omitted

    def ask(self, question: str, max_tokens: int = 256, temperature: float = 0.0) -> Generator[str, None, None]:
        """The reply, piece by piece. It joins the history once its end was read.

        Args:
            max_tokens: the most the reply may take; fewer when less room is left.

        Raises:
            UserError: the question alone is too long for the model.
        """
        self.forgotten = 0
        reserved = min(max_tokens, self.analyst.max_tokens // 4)
        room = self.analyst.max_tokens - reserved
        while (length := self._length(question)) > room:
            if not self.exchanges:
                raise UserError(
                    f"the question takes {length} tokens together with the transcript; {room} fit. Shorten it."
                )
            del self.exchanges[0]
            self.forgotten += 1
        pieces = []
        for piece in self.analyst.stream(
            self._messages(question), min(max_tokens, self.analyst.max_tokens - length), temperature
        ):
            pieces.append(piece)
            yield piece
        self.exchanges.append((question, "".join(pieces)))

    def _length(self, question: str) -> int:
        return len(self.analyst.encoder.prompt(self._messages(question)))

    def _messages(self, question: str) -> list[dict[str, str]]:
        messages = list(self._opening)
        for asked, answered in self.exchanges:
            messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
        return [*messages, {"role": "user", "content": question}]
