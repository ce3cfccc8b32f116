"""The one exception that means: the input is wrong, not the program."""

from collections.abc import Iterator
from contextlib import contextmanager


class InputError(Exception):
    """Raised for a user's mistake or a damaged input; shown as one line, without a traceback."""


@contextmanager
def about(subject: str) -> Iterator[None]:
    """Say of which layer or store an input error of the block is."""
    try:
        yield
    except InputError as error:
        # The store may have named itself, down to the chunk.
        raise InputError(str(error) if str(error).startswith(f"{subject}: ") else f"{subject}: {error}") from None


def at_least(minimum: int, **options: int) -> None:
    """Refuse options below a minimum."""
    for name, value in options.items():
        if value < minimum:
            raise InputError(f"{name} is {value}; at least {minimum} is needed")
