"""The one error for input a person can mend."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Bad user input. The message names the argument, what was expected and what was received.

    The command line prints it as one line and exits with code 2; any other exception is a bug and keeps its traceback.
    """
