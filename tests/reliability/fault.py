"""Faults in the middle of a step: what `put_into` leaves in a copy of the project runs in each of its processes.

The environment says which: FAULT="STEP MOMENT ACT", once where STEP is about to open, make, rename or remove its
MOMENT-th file of the results. FAULTS is a folder: STEP.moments counts those of a step that has ended, done says that
the fault has come, pid is the process that the act `snakemake` kills.
"""

import random
from pathlib import Path

from workflow.project import Project

HOOK = '''\
import atexit, itertools, os, pathlib, signal, sys, time

command = sys.orig_argv[1:4] if sys.orig_argv[1:3] == ["-m", "convergent"] else ["", "", ""]
folder = pathlib.Path(os.environ.get("FAULTS", "/nowhere"))
where, moment, act = os.environ.get("FAULT", "- 0 -").split()
CHANGES = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir"}
passed = itertools.count(1)
last = 0


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def hold():
    held = b"1" * int(os.environ["HOLD"])  # bytes that are really there
    time.sleep(5)


def late():
    """The files of this step are seen a while after it has ended: as if they were on another node's disk."""
    output = pathlib.Path(command_line("--output"))
    hidden = output.with_name(f".late-{output.name}")

    def leave():
        output.rename(hidden)
        if os.fork() == 0:
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
}


def hook(event, arguments):
    global last
    if event in CHANGES and "results/" in str(arguments[0]) and "/logs/" not in str(arguments[0]):
        last = next(passed)
        if last == int(moment) and command[2] == where:
            try:
                os.mkdir(folder / "done")
            except FileExistsError:
                return
            ACTS[act]()


if command[2] and folder.is_dir():
    sys.addaudithook(hook)
    atexit.register(lambda: (folder / f"{command[2]}.moments").write_text(str(last)))
'''


def put_into(project: Project) -> Path:
    """Prepare a copy of the project for faults; the folder FAULTS."""
    (project.root / "src" / "sitecustomize.py").write_text(HOOK)
    folder = project.root / "faults"
    folder.mkdir()
    return folder


def some_moment(folder: Path, step: str, generator: random.Random) -> int:
    """A moment of a step of which one has ended."""
    return generator.randint(1, int((folder / f"{step}.moments").read_text()))
