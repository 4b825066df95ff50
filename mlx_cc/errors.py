"""The one error class a user sees."""


class UserError(Exception):
    """A fault the user can mend: where it is, what was found, the way out, in one line.

    The command line prints it without a traceback and exits with status 2.
    Anything else that is raised is a bug of ours and keeps its traceback.
    """
