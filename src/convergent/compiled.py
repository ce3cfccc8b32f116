"""Functions that Numba compiles at their first call and keeps on disk for later processes, where that can be done.

Numba writes to NUMBA_CACHE_DIR, beside the source, or to the user's own cache, and raises where it can write to none of
them, as in a container, or where the disk is full. Here, each process then compiles anew, within seconds.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The same function in machine code, which other threads run beside."""
    found: Any = njit(nogil=True)(function)
    with suppress(RuntimeError):  # no folder can be written
        found._cache = _Cache(function)  # type: ignore[no-untyped-call]
    return found  # type: ignore[no-any-return]


class _Cache(FunctionCache):
    def load_overload(self, *arguments: Any) -> Any:
        with suppress(OSError):
            return super().load_overload(*arguments)  # type: ignore[no-untyped-call]

    def save_overload(self, *arguments: Any) -> None:
        with suppress(OSError):
            super().save_overload(*arguments)  # type: ignore[no-untyped-call]
