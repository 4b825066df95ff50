"""Who spoke."""

import re
from functools import lru_cache
from typing import Any

from mlx_cc.conversation import Role
from mlx_cc.errors import UserError

ROLES: dict[str, Role] = {
    **dict.fromkeys(("agent", "rep", "advisor", "representative"), "agent"),
    **dict.fromkeys(("customer", "caller", "client", "member"), "customer"),
    **dict.fromkeys(("bot", "ivr", "virtual assistant"), "bot"),
    "system": "system",
}
_NUMBER_OR_NAME = re.compile(r"\s*(?:#?\d+|\([^)]*\))$")


@lru_cache(maxsize=4096)
def role_of(label: str) -> Role | None:
    """The role a speaker label stands for, whatever its case: `Rep`, `Agent 2`, `Caller (Ann)`; None when unknown."""
    return ROLES.get(_NUMBER_OR_NAME.sub("", label.strip()).casefold())


def unknown_speaker(label: Any) -> UserError:
    """The error for a speaker nobody knows."""
    return UserError(f"unknown speaker {label!r}. Write Agent, Customer, Bot or System, or pass --default-role.")
