"""Faults in the middle of a step: what `put_into` leaves in a copy of the project runs in each of its processes.

The environment says which: FAULT="STEP MOMENT ACT; …", each once (`hold` at every attempt), where STEP, or `worker` for
one of Dask, is about to open, make, rename or remove its MOMENT-th file of the results. FAULTS is a folder:
STEP.moments counts those of a step that has ended, done.STEP.ACT says that the fault has come, pid is the process that
the act `snakemake` kills.
"""

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from workflow.project import Project

HOOK = '''\
import atexit, itertools, os, pathlib, signal, sys, time

step = sys.orig_argv[3] if sys.orig_argv[1:3] == ["-m", "convergent"] else ""
if any("spawn_main" in argument for argument in sys.orig_argv):
    step = "worker"
folder = pathlib.Path(os.environ.get("FAULTS", "/nowhere"))
faults = [fault.split() for fault in os.environ.get("FAULT", "").split(";")]
faults = {int(fault[1]): fault[2] for fault in faults if fault[:1] == [step]}
CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
passed = itertools.count(1)
last = 0


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def hold():
    held = b"1" * 600_000_000  # bytes that are really there
    time.sleep(5)


def late(ever=True):
    """The files of this step are seen a while after it has ended, as if they were on another node's disk, or never."""
    output = pathlib.Path(command_line("--output"))
    hidden = output.with_name(f".late-{output.name}")

    def leave():
        output.rename(hidden)
        if ever and os.fork() == 0:
            os.setsid()
            time.sleep(4)
            hidden.rename(output)
            os._exit(0)

    atexit.register(leave)


def command_line(option):
    return sys.orig_argv[sys.orig_argv.index(option) + 1]


def skew(hours):
    """What this step has written is of another time."""
    def leave():
        for path in pathlib.Path(command_line("--output")).rglob("*"):
            os.utime(path, (time.time() + 3600 * hours,) * 2)

    atexit.register(leave)


ACTS = {
    "skew-1": lambda: skew(-1),
    "skew+1": lambda: skew(+1),
    "kill": lambda: kill(os.getpid()),
    "snakemake": lambda: kill(int((folder / "pid").read_text())),
    "stall": lambda: time.sleep(3600),
    "hold": hold,
    "late": late,
    "never": lambda: late(ever=False),
}


def hook(event, arguments):
    global last
    if event in CHANGES and "results/" in str(arguments[0]) and "/logs/" not in str(arguments[0]):
        moment = next(passed)
        last = max(last, moment)
        if moment in faults:
            try:
                os.mkdir(folder / f"done.{step}.{faults[moment]}")
            except FileExistsError:
                if faults[moment] != "hold":  # which comes at each attempt
                    return
            ACTS[faults[moment]]()


if step and folder.is_dir():
    sys.addaudithook(hook)
    atexit.register(lambda: (folder / f"{step}.moments").write_text(str(last)))
'''


def put_into(project: Project) -> Path:
    """Prepare a copy of the project for faults; the folder FAULTS."""
    (project.root / "src" / "sitecustomize.py").write_text(HOOK)
    folder = project.root / "faults"
    folder.mkdir()
    return folder


class Begun(subprocess.Popen[bytes]):
    """Snakemake that runs; what it says goes to a file, which jobs that outlive it do not keep open."""

    log: Path


def begin(project: Project, *arguments: str, what: str = "", before: tuple[str, ...] = ()) -> Begun:
    """Snakemake in a prepared copy of the project, with faults, and what stands before it on the command line."""
    folder, path = project.root / "faults", project.root / "said"
    with path.open("wb") as log:
        begun = Begun(
            [*before, sys.executable, "-m", "snakemake", *arguments],
            cwd=project.root,
            env=os.environ | {"FAULT": what, "FAULTS": str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    begun.log = path
    if folder.is_dir():
        (folder / "pid").write_text(str(begun.pid))
    return begun


def end(begun: Begun, seconds: float = 300) -> str:
    """What it said, when it has ended; after so many seconds it is ended, with its jobs."""
    try:
        begun.wait(seconds)
        return begun.log.read_text()
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(begun.pid, signal.SIGKILL)
        raise


def some_moment(folder: Path, step: str, generator: random.Random) -> int:
    """A moment of a step of which one has ended."""
    return generator.randint(1, int((folder / f"{step}.moments").read_text()))
