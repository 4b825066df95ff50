"""The key that customers' pseudonyms are made with: one per machine, so that the same customer is the same pseudonym.

Without the key nobody can try out telephone numbers until one fits. Who erases a customer, or reads exports on a
second machine, needs the same key.
"""

import os
import re
import secrets
from pathlib import Path

from mlx_cc.errors import UserError
from mlx_cc.redact import pseudonym

VARIABLE = "MLX_CC_PSEUDONYM_KEY"
SHORTEST = 16
PERSONAL = re.compile(r"@|^\+?[\d\s().\-/]{7,}$|^[^\W\d_]+[ ,][^\W\d]")
"""An address, a telephone number, two words: what tells who somebody is. An opaque id stays as it is."""


def key_file() -> Path:
    """Where the key is kept when the environment does not give it."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "mlx_cc" / "pseudonym.key"


def pseudonym_key() -> bytes:
    """This machine's key, made when there is none; the environment's MLX_CC_PSEUDONYM_KEY goes before it.

    Raises:
        UserError: the key is too short, or can't be read or written.
    """
    given = os.environ.get(VARIABLE)
    path = key_file()
    try:
        if given is None and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            staged = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
            with os.fdopen(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32) + "\n")
            try:
                os.link(staged, path)  # fails where another process was faster: its key counts
            except FileExistsError:
                pass
            finally:
                staged.unlink()
        key = (path.read_text() if given is None else given).strip()
    except OSError as fault:
        raise UserError(
            f"{path}: {(fault.strerror or str(fault)).lower()}. Mend it, or give the key in {VARIABLE}."
        ) from fault
    if len(key) < SHORTEST:
        where = path if given is None else VARIABLE
        raise UserError(f"{where}: the key has {len(key)} characters, fewer than {SHORTEST}. Restore it.")
    return key.encode()


def pseudonymous(customer: str, key: bytes) -> str:
    """A customer's id as it may be written: its pseudonym where it tells who they are, else itself."""
    return pseudonym(customer, key) if PERSONAL.search(customer) else customer
