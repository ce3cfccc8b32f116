"""The one exception that means: the input is wrong, not the program."""


class InputError(Exception):
    """Raised for a user's mistake or a damaged input; shown as one line, without a traceback."""
