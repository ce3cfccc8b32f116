"""A workflow on a machine that is not as it should be: full, read-only, late, shared, with a wrong clock."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from reliability import fault
from workflow.project import Project, copy_of_project

PROBE = "results/probe/digits.zarr"
MOMENTS = "results/moments/small-s0-final.zarr"
# Root may write everywhere, unless it leaves that right behind.
AS_USER = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return copy_of_project(tmp_path)


def test_two__the_second_says_that_the_first_is_at_work(project: Project) -> None:
    folder = fault.put_into(project)
    first, late = fault.begin(project, PROBE, what="probe 1 stall"), time.monotonic() + 120
    try:
        while not (folder / "done.probe.stall").exists():
            time.sleep(0.1)
            assert first.poll() is None
            assert time.monotonic() < late
        second = project.snakemake(PROBE, check=False)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert second.returncode == 1
    assert "no other Snakemake process" in " ".join(second.stderr.split())
    assert "Traceback" not in second.stderr
    project.snakemake("--unlock")
    project.snakemake(PROBE)


def test_late__files_are_waited_for(project: Project) -> None:
    fault.put_into(project)
    begun = fault.begin(project, PROBE, "--latency-wait=20", what="probe 1 late")
    told = fault.end(begun)
    assert begun.returncode == 0, told
    assert (project.root / "faults" / "done.probe.late").exists()
    assert (project.root / PROBE / "zarr.json").is_file()


def test_late__what_never_comes_is_named(project: Project) -> None:
    fault.put_into(project)
    begun = fault.begin(project, PROBE, "--latency-wait=1", what="probe 1 never")
    told = " ".join(fault.end(begun).split())
    assert begun.returncode == 1
    assert f"{PROBE} (missing locally)" in told
    assert "increase the wait time with --latency-wait" in told


def test_clock__of_a_node_that_is_wrong_makes_nothing_anew(project: Project) -> None:
    """An hour behind where the probe is made, an hour ahead where a network is trained."""
    fault.put_into(project)
    begun = fault.begin(project, MOMENTS, what="probe 1 skew-1; train 1 skew+1")
    told = fault.end(begun)
    assert begun.returncode == 0, told
    assert (project.root / "faults" / "done.probe.skew-1").exists()
    assert (project.root / "faults" / "done.train.skew+1").exists()
    assert "Nothing to be done" in project.snakemake(MOMENTS).stderr


@pytest.fixture
def full(project: Project) -> Iterator[Path]:
    """The results on a disk of their own, of 200 kB."""
    results = project.root / "results"
    results.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", results], capture_output=True)
    if mounted.returncode and os.environ.get("CI") != "true":
        pytest.skip("only root mounts disks")
    assert mounted.returncode == 0, mounted.stderr
    try:
        yield results
    finally:
        subprocess.run(["umount", results], check=True)


def test_full__is_told_in_one_line_and_the_run_goes_on_where_there_is_room(project: Project, full: Path) -> None:
    done = project.snakemake("--keep-going", MOMENTS, check=False)
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() + done.stderr.splitlines() if line.startswith("convergent ")]
    assert told
    assert all("cannot be written, No space left on device; make room and run again" in line for line in told), told
    assert "Traceback" not in done.stdout + done.stderr
    subprocess.run(["mount", "-o", "remount,size=50m", full], check=True)
    project.snakemake(MOMENTS)
    assert "Nothing to be done" in project.snakemake(MOMENTS).stderr


def test_read_only__results_are_read_and_not_changed(finished: Project, tmp_path: Path) -> None:
    root = tmp_path / "project"
    shutil.copytree(finished.root, root, symlinks=True)
    project = Project(root)
    shutil.rmtree(root / MOMENTS.replace("s0", "s1"))
    subprocess.run(["chmod", "-R", "a-w", root / "results"], check=True)
    user = AS_USER if os.getuid() == 0 else []
    try:
        done = fault.begin(project, MOMENTS, before=(*user,))
        assert "Nothing to be done" in fault.end(done)
        done = fault.begin(project, MOMENTS.replace("s0", "s1"), before=(*user,))
        last = fault.end(done).rstrip().splitlines()[-1]
        assert done.returncode == 1
        assert "Permission denied: 'results/" in last  # Snakemake's own traceback, which ends so
    finally:
        subprocess.run(["chmod", "-R", "u+w", root / "results"], check=True)


def test_moved__results_with_their_metadata_need_nothing(finished: Project, tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    for name in ("results", ".snakemake/metadata"):
        subprocess.run(["cp", "-a", "--parents", name, project.root], cwd=finished.root, check=True)
    assert "Nothing to be done" in project.snakemake(MOMENTS).stderr


def test_moved__without_times_needs_a_touch(finished: Project, tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    for name in ("results", ".snakemake/metadata"):
        subprocess.run(["cp", "-r", "--parents", name, project.root], cwd=finished.root, check=True)
    os.utime(project.root / "results" / "training" / "small-s0" / ".snakemake_timestamp")  # copied last
    assert project.planned(MOMENTS)
    project.snakemake("--touch", MOMENTS)
    assert "Nothing to be done" in project.snakemake(MOMENTS).stderr
