"""A folder that takes the place of another when it is complete: old, none, or new, but never half of one."""

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from convergent.errors import InputError

NO_ROOM = "make room and run again"
NO_RIGHT = "run where you may write, or ask for the right to"
ADVICE = dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), NO_ROOM) | dict.fromkeys(
    (errno.EROFS, errno.EACCES, errno.EPERM), NO_RIGHT
)
NO_LOCKS = {errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP}


@contextmanager
def of(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` when the block ends without an error.

    Raises
    ------
    InputError : where the disk is full or cannot be written; what was there stays
    """
    part = path.with_name(f"{path.name}.part")
    with room_for(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            shutil.rmtree(part, ignore_errors=True)  # what a killed process left
            try:
                yield part
                exchange(part, path)
            finally:
                shutil.rmtree(part, ignore_errors=True)


def exchange(part: Path, path: Path) -> None:
    """Put a complete folder in the place of another, by renames alone: a removal may be killed half-way."""
    old = path.with_name(f"{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    part.rename(path)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """Say in one line that a path cannot be written.

    Raises
    ------
    InputError : where the disk is full, a quota reached, or the folder read-only
    """
    try:
        yield
    except OSError as error:
        advice = ADVICE.get(error.errno or 0)
        place = Path(error.filename or path).absolute()
        if advice is None or not place.is_relative_to(path.absolute().parent):
            raise
        raise InputError(f"{path}: cannot be written, {os.strerror(error.errno or 0)}; {advice}") from None


def hold(lock: TextIO, doing: str) -> None:
    """Wait for another process that holds a lock file, and say so; where there are no locks, go on without."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"another process is {doing}; waiting for it", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:  # Lustre may be mounted without
            raise


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Wait for another process that writes the same store; the lock of a killed one is free."""
    lock = path.with_name(f".{path.name}.lock")
    held = _held(lock)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        held.close()


def _held(lock: Path) -> TextIO:
    """The lock file, held; not one that its last holder has removed while this one waited."""
    while True:
        file = lock.open("w")
        hold(file, f"writing {lock.name[1:-5]}")
        with suppress(FileNotFoundError):
            if os.path.samestat(lock.stat(), os.fstat(file.fileno())):
                return file
        file.close()
