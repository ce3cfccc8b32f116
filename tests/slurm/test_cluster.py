"""The Slurm of the tests leaves a Slurm that is there already alone; no Slurm is needed to see it."""

import os
from pathlib import Path

import pytest
from slurm import cluster

COMMAND = '#!/bin/sh\necho "$(basename "$0") $SLURM_CONF" >> {told}\n'


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Slurm's commands, which do nothing else, tell whose configuration they were given."""
    commands, told = tmp_path / "commands", tmp_path / "told"
    commands.mkdir()
    for name in ("scancel", "squeue"):
        (commands / name).write_text(COMMAND.format(told=told))
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_CONF", raising=False)
    link = tmp_path / "slurm.conf"
    link.touch()
    monkeypatch.setattr(cluster, "LINKS", [link])
    return told


@pytest.mark.parametrize("by", ["its place", "SLURM_CONF"])
def test_running__asks_nothing_of_a_slurm_that_is_there(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    if by == "SLURM_CONF":
        monkeypatch.setattr(cluster, "LINKS", [])
        monkeypatch.setattr(cluster.Cluster, "start", None)
        monkeypatch.setenv("SLURM_CONF", "/opt/slurm/slurm.conf")
    folder = tmp_path / "own"
    folder.mkdir()
    with pytest.raises(RuntimeError, match="a Slurm is configured on this machine"), cluster.running(folder):
        pass
    assert not told.exists()


def test_stop__cancels_jobs_of_its_own_slurm_only(told: Path, tmp_path: Path) -> None:
    own = cluster.Cluster(tmp_path)
    own.start("slurmctld", "sleep", "60")
    controller = own.processes["slurmctld"]
    own.stop()
    assert controller.poll() is not None
    expected = [f"{name} {tmp_path}/slurm.conf" for name in ("scancel", "scancel", "squeue")]
    assert told.read_text().splitlines() == expected
