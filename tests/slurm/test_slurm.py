"""The small experiment through a real Slurm, with the profile that users copy."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import xarray as xr
import yaml
from reliability import fault
from slurm import cluster
from workflow.project import ROOT, Project, copy_of_project

from convergent import store

pytestmark = pytest.mark.slurm
# What the test does not need to wait for.
QUICK = {
    "slurm-init-seconds-before-status-checks": 3,
    "seconds-between-status-checks": 1,
    "latency-wait": 20,
}
# EDIT 1 of the profile.
WITHOUT_ACCOUNTS = re.compile('  slurm_account: "mine"\n# (slurm-status-command: )')
BETWEEN = "results/moments/small-s0-final--small-s1-final.zarr"
SETTINGS = {"seeds": [0, 1], "measures": ["statistics", "correlation", "matching", "subspace_match"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    if absent := cluster.missing():
        wanted = "install Slurm and munge, e.g. Debian's slurm-wlm"
        pytest.fail(f"nothing was tested: no {', '.join(absent)}; {wanted}", pytrace=False)
    with cluster.running(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same experiment on this machine."""
    project = copy_of_project(tmp_path_factory.mktemp("local"))
    project.configure(**SETTINGS)
    fault.put_into(project)
    begun = fault.begin(project)
    told = fault.end(begun, 900)
    assert begun.returncode == 0, told
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = copy_of_project(tmp_path)
    found.configure(**SETTINGS)
    return found


def moments(project: Project) -> xr.Dataset:
    return store.read(project.root / BETWEEN, "moments_between").layers["conv3.relu"].load()


def profile(project: Project, **changes: object) -> str:
    """The profile of users, edited as it says: no account; and not to wait."""
    text = (project.root / "profiles" / "slurm" / "config.yaml").read_text()
    edited, places = WITHOUT_ACCOUNTS.subn(r"\1", text)
    assert places == 1
    keys = yaml.safe_load(edited)
    folder = project.root / "profiles" / "mine"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(keys | QUICK | changes, sort_keys=False))
    return f"--workflow-profile={folder}"


def summary(project: Project) -> pd.DataFrame:
    return pd.read_csv(project.root / "results" / "tables" / "summary.csv")


def queue(project: Project, form: str) -> list[str]:
    """Of all jobs of a project, finished ones too; the last comes first."""
    command = ["squeue", "--all", "--noheader", "--states=all", "--sort=-i", f"--format=%Z\t{form}"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return [line.split("\t")[1] for line in lines if line.startswith(f"{project.root}\t")]


def test_profile__gives_the_results_of_one_machine(running: cluster.Cluster, local: Project, project: Project) -> None:
    project.snakemake(profile(project))
    pd.testing.assert_frame_equal(summary(project), summary(local), rtol=1e-9)
    assert "Nothing to be done" in project.snakemake(profile(project)).stderr
    jobs = queue(project, "%P %k %N")
    assert {line.split()[2] for line in jobs} == set(cluster.NODES)
    trained = [line for line in jobs if "rule_train" in line]
    assert len(trained) == 2
    assert all(line.startswith("gpu ") for line in trained)
    # Three measures of two pairs, and twelve figures or so, four to a submission.
    assert len([line for line in jobs if "rule_pair" in line]) == 2
    figures = len([*project.root.glob("results/figures/*/*/*.png")])
    assert len([line for line in jobs if "rule_figures" in line]) == -(-figures // 4)


def test_profile__survives_what_happens_to_jobs_and_nodes(
    running: cluster.Cluster, local: Project, project: Project
) -> None:
    """A recording is killed, a pass needs more memory, a training more time; meanwhile a node is drained."""
    folder = fault.put_into(project)
    keys = yaml.safe_load((project.root / "profiles" / "slurm" / "config.yaml").read_text())
    keys["set-resources"]["train"]["runtime"] = 1  # minute
    # The second epoch of the first training to get there never ends.
    second = int((local.root / "faults" / "train.moments").read_text()) * 2 // 3
    what = f"train {second} stall; record 9 kill; between 9 hold"
    begun = fault.begin(project, profile(project, **{"set-resources": keys["set-resources"]}), BETWEEN, what=what)
    recordings = [project.root / "results" / "pooled" / f"small-s{seed}-final.zarr" for seed in (0, 1)]
    try:
        while begun.poll() is None and not all(path.exists() for path in recordings):
            time.sleep(0.2)
        running.drain("node1")  # which would take the rest, as the first of the nodes, while a recording runs there
        told = fault.end(begun, 900)
    finally:
        running.resume("node1")
    assert begun.returncode == 0, told
    assert {path.name for path in folder.glob("done.*")} == {
        "done.train.stall",
        "done.record.kill",
        "done.between.hold",
    }
    xr.testing.assert_allclose(moments(project), moments(local), rtol=1e-12)
    ends = queue(project, "%T %k %N %m")
    assert any(line.startswith("TIMEOUT rule_train") for line in ends)
    assert any("going on after epoch" in path.read_text() for path in project.root.glob("results/logs/train/*.log"))
    between = [line.split() for line in ends if "rule_between" in line]
    assert [state for state, *_ in between] == ["COMPLETED", "FAILED"]
    assert {node for *_, node, _ in between} == {"node2"}
    more, first = (int(memory.removesuffix("M")) for *_, memory in between)
    assert more == 2 * first
    logs = (project.root / ".snakemake" / "slurm_logs" / "rule_between").rglob("*.log")
    assert any("exceeded memory limit" in path.read_text() for path in logs)


def test_engine__slurm_computes_on_two_nodes_and_survives_a_killed_worker(
    running: cluster.Cluster, local: Project
) -> None:
    project, before = local, moments(local)
    over = [f"between:{key}" for key in ("engine=slurm", "mpi=srun", "nodes=2", "tasks=2")]
    arguments = [profile(project), BETWEEN, "--forcerun=between", "--set-resources", *over]
    begun = fault.begin(project, *arguments, what="worker 3 kill")
    told = fault.end(begun, 900)
    assert begun.returncode == 0, told
    assert (project.root / "faults" / "done.worker.kill").is_dir()
    xr.testing.assert_allclose(moments(project), before, rtol=1e-12)
    (job,) = [line for line in queue(project, "%D %N %k") if "rule_between" in line and line.startswith("2 ")]
    assert job.split()[1] == "node[1-2]"


@pytest.mark.skipif("CONVERGENT_LONG" not in os.environ, reason="an hour: CONVERGENT_LONG=1 make test-slurm")
def test_profile__gives_the_default_experiment_of_one_machine(running: cluster.Cluster, tmp_path: Path) -> None:
    projects = []
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        project = copy_of_project(tmp_path / name)
        shutil.copy(ROOT / "config" / "config.yaml", project.root / "config")
        project.snakemake(*([profile(project)] if name == "there" else []))
        projects.append(project)
    here, there = projects
    pd.testing.assert_frame_equal(summary(there), summary(here), rtol=1e-9)
    for weights in here.root.glob("results/training/*/*.safetensors"):
        assert (there.root / weights.relative_to(here.root)).read_bytes() == weights.read_bytes()
