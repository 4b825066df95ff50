"""The key of customers' pseudonyms: one per machine, so that a customer always has the same pseudonym.

Without the key, nobody can find a customer by trying all telephone numbers. To erase a customer, or to read exports on
a second machine, the same key is needed.
"""

import os
import re
import secrets
from pathlib import Path

from mlx_cc.errors import UserError
from mlx_cc.redact import pseudonym

VARIABLE = "MLX_CC_PSEUDONYM_KEY"
FEWEST_CHARACTERS = 16
"""64 bits when written in hex; fewer could be guessed."""
PERSONAL = re.compile(r"@|^\+?[\d\s().\-/]{7,}$|^[^\W\d_]+[ ,][^\W\d]")
"""An e-mail address, a telephone number, or two words (a name). Any other id is opaque and stays as it is."""


def key_file() -> Path:
    """The file of the key, used where the environment gives none."""
    folder = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(folder) / "mlx_cc" / "pseudonym.key"


def pseudonym_key() -> bytes:
    """The key in the environment's MLX_CC_PSEUDONYM_KEY, else this machine's, which is made where there is none.

    Raises:
        UserError: the key is too short, or its file can't be read or written.
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
                os.link(staged, path)  # fails where another process was faster; that key is used
            except FileExistsError:
                pass
            finally:
                staged.unlink()
        key = (path.read_text(encoding="utf-8") if given is None else given).strip()
    except (OSError, UnicodeDecodeError) as fault:
        reason = "is not text" if isinstance(fault, UnicodeDecodeError) else (fault.strerror or str(fault)).lower()
        raise UserError(f"{path}: {reason}. Correct that, or set {VARIABLE} to the key.") from fault
    if len(key) < FEWEST_CHARACTERS:
        where = path if given is None else VARIABLE
        raise UserError(
            f"{where}: the key has {len(key)} characters, fewer than {FEWEST_CHARACTERS}. "
            "Restore the one that made your pseudonyms."
        )
    return os.fsencode(key)


def pseudonymous(customer: str, key: bytes) -> str:
    """The pseudonym of a customer's id that says who the customer is; any other id as it is."""
    return pseudonym(customer, key) if PERSONAL.search(customer) else customer
