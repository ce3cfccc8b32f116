"""The plan of the small experiment, held against a dry run and against what the finished run has written and held."""

import json
import math
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from workflow.project import Project, copy_of_project

from convergent import declarations, experiments
from convergent.config import Experiment
from convergent.plan import memory, shapes, stores

RULE_OF_FOLDER = {"moments": "within", "rdms": "rdm"}


def planned(project: Project) -> dict[str, dict[str, Any]]:
    """The rows of the plan by rule, made without any data and without a result."""
    environment = {k: v for k, v in os.environ.items() if k != "CONVERGENT_DATA"}
    environment["PYTHONPATH"] = str(project.root / "src")
    command = [sys.executable, "-m", "convergent", "plan", "config/config.yaml", "--json"]
    done = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {row["rule"]: row for row in json.loads(done.stdout)["rules"]}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {
            "seeds": [0, 1, 2, 3],
            "measures": ["mutual_information", "statistics", "cross_layer"],
            "comparisons": [{"name": "one", "stage": "final"}, {"name": "two", "stage": "final"}],
        },
        {
            "networks": ["small", "digits_cnn"],
            "measures": ["statistics", "matching", "cross_layer", "layer_pairs", "stitching", "ensemble"],
            "comparisons": [
                {"name": "across", "stage": "final", "pairs": "networks"},
                {"name": "learning", "stage": "init", "stage_b": "final", "pairs": "same_seed"},
                {"name": "trained_untrained", "stage": "final", "stage_b": "init"},
                {"name": "trained", "stage": "final"},
            ],
        },
    ],
)
def test_plan__counts_the_jobs_of_a_dry_run(tmp_path: Path, changes: dict[str, Any]) -> None:
    project = copy_of_project(tmp_path)
    project.configure(**changes)
    expected = Counter[str]()
    for rule, jobs in project.planned().items():
        expected[rule.split()[0]] += jobs
    del expected["all"]
    assert {rule: row["jobs"] for rule, row in planned(project).items()} == expected


def test_plan__tells_the_bytes_of_every_store(finished: Project) -> None:
    content = yaml.safe_load((finished.root / "config" / "config.yaml").read_text())
    experiment: Experiment = declarations.build(Experiment, content, "test")
    graph = json.loads((finished.root / "results" / "networks" / "small.json").read_text())
    layers = shapes.network(graph, "all", "all").layers
    results = finished.root / "results"
    recipe = experiments.load_recipe(finished.root / "config" / "networks" / "small.yaml")
    seen = set()
    for path in sorted(results.rglob("*.zarr")):
        folder = path.parent.name
        rule = "between" if folder == "moments" and "--" in path.stem else RULE_OF_FOLDER.get(folder, folder)
        seen.add(rule)
        found = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if rule == "patches":  # their number and size are known when they are made
            assert found <= stores.patches(layers, experiment, recipe)
        else:
            assert stores.written(rule, layers, experiment, "digits") == pytest.approx(found, rel=0.01), path
    assert seen == {"activations", "patches", *stores.ARRAYS}


def test_plan__tells_the_memory_of_every_job(finished: Project) -> None:
    """Small jobs hold little beside their libraries: of jobs with data, see docs/measured."""
    rows = planned(finished)
    folder = finished.root / "results" / "benchmarks"
    # A job that was over before it was looked at, or soon after, tells less than it held.
    found: dict[str, float] = {}
    for path in folder.rglob("*.tsv"):
        rule = path.relative_to(folder).parts[0].removesuffix(".tsv")
        found[rule] = max(found.get(rule, 0), float(pd.read_csv(path, sep="\t")["max_rss"].iloc[0]))
    compared = {rule: held for rule, held in found.items() if held > 100}
    # They hold most for a moment: Snakemake, which looks now and then, saw 701 MiB of `inspect`, ru_maxrss tells 962.
    missed = {"inspect", "probe"}
    for rule, held in compared.items():
        most = held * (1.5 if rule in missed else 1.3)
        assert held / 1.3 <= rows[rule]["memory"] / 2**20 <= most, rule
    assert len(compared) > len(rows) / 2, f"{sorted(compared)} alone"


def test_mem_mb__counts_the_processes_of_an_engine(tmp_path: Path) -> None:
    project, target = copy_of_project(tmp_path), "results/moments/small-s0-final--small-s1-final.zarr"
    project.snakemake("results/networks/small.json")
    content = yaml.safe_load((tmp_path / "config/config.yaml").read_text())
    experiment: Experiment = declarations.build(Experiment, content, "test")
    network = shapes.network(json.loads((tmp_path / "results/networks/small.json").read_text()), "all", "all")
    for engine, computing in {
        "'threads'": {"threads": 3},
        "local": {"threads": 1, "workers": 3},
        "slurm": {"threads": 3, "workers": 4},  # seven on two nodes
        "cuda": {"threads": 1, "workers": 2},  # one a GPU
    }.items():
        given = [f"between:{resource}" for resource in (f"engine={engine}", "tasks=7", "nodes=2", "gpu=2")]
        options = ["--cores=3", "--set-threads=between=3", "--set-resources", *given]
        told = project.snakemake("--dry-run", target, *options).stdout
        asked = re.search(r"^rule between:\n(?:    .*\n)*?    resources: .*?\bmem_mb=(\d+)", told, re.M)
        assert asked, told
        expected = 400 + math.ceil(1.25e-6 * memory.peak("between", network, experiment, **computing))
        assert int(asked[1]) == expected, engine
