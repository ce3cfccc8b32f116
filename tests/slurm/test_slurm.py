"""The small experiment through a real Slurm, with the profile that users copy."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import yaml
from slurm import cluster
from workflow.project import Project, copy_of_project

pytestmark = pytest.mark.slurm
# What the test does not need to wait for.
QUICK = {
    "slurm-init-seconds-before-status-checks": 3,
    "seconds-between-status-checks": 1,
    "latency-wait": 20,
    "slurm-status-command": "squeue",
    "slurm-no-account": True,
}
SETTINGS = {"seeds": [0, 1], "measures": ["statistics", "correlation", "matching", "subspace_match"]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cluster.Cluster]:
    absent = cluster.missing()
    if absent and os.environ.get("CI") != "true":
        pytest.skip(f"no {', '.join(absent)}; install Slurm and munge, e.g. Debian's slurm-wlm")
    assert not absent, f"no {', '.join(absent)}"
    with cluster.running(tmp_path_factory.mktemp("slurm")) as found:
        yield found


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same experiment on this machine."""
    project = copy_of_project(tmp_path_factory.mktemp("local"))
    project.configure(**SETTINGS)
    project.snakemake()
    return project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    found = copy_of_project(tmp_path)
    found.configure(**SETTINGS)
    return found


def profile(project: Project, **changes: object) -> str:
    """The profile of users, edited as it says: no account; and not to wait."""
    keys = yaml.safe_load((project.root / "profiles" / "slurm" / "config.yaml").read_text())
    del keys["default-resources"]["slurm_account"]
    folder = project.root / "profiles" / "mine"
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(keys | QUICK | changes, sort_keys=False))
    return f"--workflow-profile={folder}"


def summary(project: Project) -> pd.DataFrame:
    return pd.read_csv(project.root / "results" / "tables" / "summary.csv")


def queue(form: str) -> list[str]:
    """Of all jobs, finished ones too."""
    command = ["squeue", "--all", "--noheader", "--states=all", f"--format={form}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_profile__gives_the_results_of_one_machine(running: cluster.Cluster, local: Project, project: Project) -> None:
    project.snakemake(profile(project))
    pd.testing.assert_frame_equal(summary(project), summary(local), rtol=1e-9)
    assert "Nothing to be done" in project.snakemake(profile(project)).stderr
    jobs = queue("%P %k %N")
    assert {line.split()[2] for line in jobs} == set(cluster.NODES)
    trained = [line for line in jobs if "rule_train" in line]
    assert len(trained) == 2
    assert all(line.startswith("gpu ") for line in trained)
