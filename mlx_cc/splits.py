"""The split of a conversation. A hash of a stable key decides it, so the order of the input does not matter."""

from hashlib import blake2b
from typing import Literal

from mlx_cc.conversation import Conversation
from mlx_cc.errors import UserError

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SplitKey = Literal["conversation", "agent", "customer"]


def unit_interval(text: str) -> float:
    """A number in [0, 1) computed from the text alone."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) / 2**64


def split_key(conversation: Conversation, by: SplitKey) -> str:
    """The text whose hash decides the split.

    Raises:
        UserError: the conversation lacks the agent or customer it should be split by.
    """
    if by == "conversation":
        return conversation.id
    key = conversation.customer_id if by == "customer" else next(iter(conversation.agents), None)
    if key is None:
        raise UserError(f"conversation {conversation.id} has no {by}; split by conversation, or leave it out.")
    return key


def split_of(
    conversation: Conversation, by: SplitKey = "conversation", shares: tuple[float, float] = (0.8, 0.1)
) -> Split:
    """train, validation or test. `shares` are those of train and validation; the rest is test."""
    number = unit_interval(f"{by}:{split_key(conversation, by)}")
    if number < shares[0]:
        return "train"
    return "validation" if number < shares[0] + shares[1] else "test"
