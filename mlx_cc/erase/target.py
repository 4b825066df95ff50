"""Whom an erasure is about, whether JSON names them, and the note beside a model that learned from them."""

import os
from collections.abc import Mapping
from hashlib import scrypt
from pathlib import Path
from typing import Any, NamedTuple

from mlx_cc.erase.walk import Find, finder
from mlx_cc.files import read_json, write_json
from mlx_cc.folders import RunFolder


class Target(NamedTuple):
    """What is to be erased."""

    conversations: frozenset[str]
    """Ids."""
    customers: frozenset[str] = frozenset()
    """The customers' ids, in every spelling."""
    of_customers: Mapping[str, frozenset[str]] = {}
    """Spelling of a customer's id -> ids of their conversations."""

    def covers(self, conversation_id: Any, customer_id: Any = None) -> bool:
        """Whether a record with these ids is meant."""
        return (conversation_id is not None and str(conversation_id) in self.conversations) or (
            customer_id is not None and str(customer_id) in self.customers
        )

    def finder(self) -> Find:
        """Whether bytes name the target."""
        return finder(self.conversations | self.customers)


def aliases_of(customer: str) -> frozenset[str]:
    """The ids that records may have of a customer: as exports write it, and its pseudonym where there is a key."""
    from mlx_cc.redact import pseudonym
    from mlx_cc.redact.key import VARIABLE, key_file, pseudonym_key

    if VARIABLE not in os.environ and not key_file().exists():
        return frozenset({customer})
    return frozenset({customer, pseudonym(customer, pseudonym_key())})


def hash_of(customer: str) -> str:
    """A customer's id as a note keeps it: costly to compute (50 ms), so that trying all phone numbers takes years."""
    return scrypt(customer.encode(), salt=b"mlx_cc erase", n=2**14, r=8, p=1, dklen=16).hex()


def note(run: RunFolder, of_customers: Mapping[str, frozenset[str]]) -> None:
    """Note beside a model which conversations it learned from are whose (spelling of the customer's id -> ids)."""
    learned = run.learned_from()
    noted = read_json(run.erased, dict[str, list[str]]) if run.erased.exists() else {}
    more = {hash_of(alias): sorted(ids & learned) for alias, ids in of_customers.items() if ids & learned}
    if more:
        write_json(run.erased, {**noted, **more})


def names_target(tree: Any, target: Target, finds: Find) -> bool:
    """Whether a JSON value names the target: in a text, or as a number under a key of ids.

    A short id or number must be the whole text, its file's name, or in quotes there: it stands in many a text.
    """
    if isinstance(tree, dict):
        ids = (value for key, value in tree.items() if isinstance(value, int) and key.lower().endswith("id"))
        parts = (*tree, *tree.values())
        return any(map(target.covers, ids)) or any(names_target(part, target, finds) for part in parts)
    if isinstance(tree, list):
        return any(names_target(item, target, finds) for item in tree)
    if not isinstance(tree, str) or not finds(tree.encode()):
        return False
    wanted = target.conversations | target.customers
    short = {word for word in wanted if len(word) < 4 or (word.isdigit() and len(word) < 6)}
    clear = Target(wanted - short).finder()
    return clear(tree.encode()) or any(tree == w or Path(tree).stem == w or f"'{w}'" in tree for w in short)
