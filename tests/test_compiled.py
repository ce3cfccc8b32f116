"""Functions that Numba compiles: kept on disk, or compiled anew where that cannot be done."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from convergent.compiled import compiled

@compiled
def double(number):
    return 2 * number

@compiled
def quadruple(number):
    return double(double(number))

print(quadruple(3), quadruple(0.5), sum(double.stats.cache_hits.values()), sum(quadruple.stats.cache_hits.values()))
"""


def run(folder: Path, room: int = resource.RLIM_INFINITY) -> str:
    """What the script prints, where no file can grow beyond `room`, as on a full disk."""
    (folder / "script.py").write_text(SCRIPT)
    # The user's own cache, which is taken where none can be written beside the source, is in no folder.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NUMBA_")}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), "XDG_CACHE_HOME": "/dev/null"}
    done = subprocess.run(
        [sys.executable, folder / "script.py"],
        env=environment, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room)),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_compiled__is_kept_for_the_next_process(tmp_path: Path) -> None:
    assert run(tmp_path) == "12 2.0 0 0\n"
    assert run(tmp_path) == "12 2.0 0 2\n"


@pytest.mark.parametrize("room", [0, 1000])
def test_compiled__does_without_a_cache_on_a_full_disk(tmp_path: Path, room: int) -> None:
    assert run(tmp_path, room) == "12 2.0 0 0\n"
    assert run(tmp_path) == "12 2.0 0 0\n"  # what was kept of it, if anything, is no hindrance
    assert run(tmp_path) == "12 2.0 0 2\n"


def test_compiled__does_without_a_cache_where_no_folder_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").touch()  # where the superuser may write to everything else
    assert run(tmp_path) == "12 2.0 0 0\n"


def test_compiled__does_without_a_cache_that_cannot_be_read(tmp_path: Path) -> None:
    run(tmp_path)
    kept = [*(tmp_path / "__pycache__").glob("*.nbi")]
    assert len(kept) == 2
    for index in kept:
        index.unlink()
        index.mkdir()
    assert run(tmp_path) == "12 2.0 0 0\n"
