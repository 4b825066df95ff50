"""The one error class a user sees."""


class UserError(Exception):
    """A fault the user can correct, in one line: where it is, what was found, the way out.

    The command line prints it without a traceback and exits with status 2. Any other exception is our bug and keeps
    its traceback.
    """


def reason_of(fault: BaseException) -> str:
    """What other people's code says of a fault, short enough for a line of ours."""
    return " ".join(str(fault).split())[:160].rstrip(".") or type(fault).__name__
