"""The one exception whose message is written for the person at the keyboard."""


class UserError(Exception):
    """Something the user can put right.

    The message is one sentence: what is wrong, where, and what to do. The command line
    prints it without a traceback and exits with code 2; any other exception is a bug and
    keeps its traceback.
    """
