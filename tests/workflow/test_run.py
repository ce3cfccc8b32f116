"""What a finished run leaves, and what happens to one that cannot run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from workflow.project import ROOT, Project, copy_of_project

from convergent import store, tables

KINDS = {
    "activations": "activations",
    "pooled": "pooled",
    "probe": "probe",
    "moments": "moments_within",
    "edges": "edges",
    "rdms": "rdms",
    "maps": "maps",
    "exemplars": "exemplars",
    "patches": "patches",
    "predictions": "predictions",
    "measures": "measure",
}
ROOT_GROUP = {"probe", "cross_layer", "layer_pairs", "predictions", "ensemble"}  # no group a layer
LAYERS = ["conv1.relu", "conv2.relu", "conv3.relu", "fc1.relu"]


def stores(project: Project) -> dict[str, tuple[str, Path]]:
    """Every store by its path below results, with its kind."""
    results = project.root / "results"
    found = {}
    for path in sorted(results.rglob("*.zarr")):
        kind = KINDS[path.relative_to(results).parts[0]]
        found[str(path.relative_to(results))] = (
            "moments_between" if "moments" in kind and "--" in path.stem else kind,
            path,
        )
    return found


def test_run__leaves_complete_stores_that_explain_themselves(finished: Project) -> None:
    found = stores(finished)
    # The probe; activations, pooled, moments, edges, RDMs and statistics of 6 snapshots; moments and 11 measures of 6
    # pairs; exemplars and patches of the first pair of both comparisons; of what the trained answer: predictions of 3,
    # maps and 3 measures of their pairs, moments and maps of each untrained beside the other.
    assert len(found) == 1 + 6 * 6 + 6 * (1 + 11) + 4 + 2 + 3 + 3 * (1 + 3) + 2 * 6
    for name, (kind, path) in found.items():
        opened = store.read(path, kind)
        assert list(opened.layers) == (["/"] if ROOT_GROUP & set(Path(name).parts) else LAYERS), name
        assert {"title", "source", "parameters", "code_digest", "versions", "probe_fingerprint"} <= set(
            opened.attributes
        )
        for dataset in opened.layers.values():
            assert all("long_name" in dataset[v].attrs for v in dataset.data_vars), name


def test_run__keeps_within_the_memory_and_leaves_no_parts(finished: Project) -> None:
    used = [pd.read_csv(path, sep="\t")["max_rss"][0] for path in finished.root.glob("results/benchmarks/**/*.tsv")]
    assert used
    assert max(used) < 2000  # MB a process
    assert not list(finished.root.rglob("*.part"))


def test_run__is_reproduced_bit_by_bit(finished: Project, tmp_path: Path) -> None:
    """One training and one measure made again by hand, by the commands that Snakemake ran."""
    plan = finished.snakemake("--dry-run", "--printshellcmds", "--forcerun", "train", "matching").stdout
    commands = re.findall(r"python -m convergent (?:train|matching) .*", plan)
    again = copy_of_project(tmp_path)
    shutil.copytree(finished.root / "results", again.root / "results")
    shutil.rmtree(again.root / "results" / "training" / "small-s1")
    pair = "small-s0-final--small-s1-final.zarr"
    shutil.rmtree(again.root / "results" / "measures" / "matching" / pair)
    for part in ("--output results/training/small-s1 ", f"--output results/measures/matching/{pair} "):
        command = next(c for c in commands if part in c).replace("python", sys.executable, 1)
        # On other kernels, which OPENBLAS_CORETYPE may choose, last bits are others.
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"}
        subprocess.run(command, shell=True, cwd=again.root, env=environment, check=True)
    for stage in ("init", "final"):
        weights = [p.root / "results" / "training" / "small-s1" / f"{stage}.safetensors" for p in (finished, again)]
        assert weights[0].read_bytes() == weights[1].read_bytes()
    first, second = (
        store.read(p.root / "results" / "measures" / "matching" / pair, "measure") for p in (finished, again)
    )
    for layer in LAYERS:
        xr.testing.assert_identical(first.layers[layer].load(), second.layers[layer].load())


def test_summary__is_tidy_and_its_untrained_null_is_the_untrained_value(finished: Project) -> None:
    table = tables.read(finished.root / "results" / "tables" / "summary.csv")
    assert list(table.columns) == [*tables.COLUMNS, *tables.OF_MEANS]
    assert not table.duplicated(["comparison", "pair", "layer", "measure", "statistic", "null_kind"]).any()
    assert list(dict.fromkeys(table["layer"])) == [*LAYERS, tables.WHOLE]
    assert set(table["comparison"]) == {"trained", "untrained"}
    matched = table[(table["statistic"] == "mean_r_one_to_one") & (table["layer"] == "fc1.relu")]
    trained = matched[(matched["comparison"] == "trained") & (matched["null_kind"] == "untrained")].set_index("pair")
    untrained = matched[(matched["comparison"] == "untrained") & (matched["null_kind"] == "rotated")].set_index("pair")
    for pair, null in trained["null"].items():
        assert null == pytest.approx(untrained["value"][str(pair).replace("final", "init")])
    assert trained["value"]["small-all"] == pytest.approx(trained["value"].drop("small-all").mean())
    assert (trained["standard_error"] > 0).all()
    assert trained["verdict"]["small-all"] in (tables.LARGER, tables.SMALLER, tables.NOT_APART)


def test_report__shows_the_reading_and_every_figure(finished: Project) -> None:
    finished.snakemake("--report", "results/report.html")
    page = (finished.root / "results" / "report.html").read_text()
    reading = (finished.root / "results" / "tables" / "reading.rst").read_text()
    assert reading.splitlines()[0] in page
    assert "3 pairs of small" in page
    figures = sorted((finished.root / "results" / "figures").glob("*/*/*.png"))
    assert len(figures) == 22 + 19
    assert all(path.with_suffix(".pdf").is_file() and path.name in page for path in figures)


def test_readme__its_example_runs(finished: Project) -> None:
    readme = (ROOT / "README.md").read_text()
    example = re.search(r"```python\n(.*?)```", readme, re.S)
    assert example
    code = example[1].replace("digits_cnn", "small")
    done = subprocess.run([sys.executable, "-c", code], cwd=finished.root, capture_output=True, text=True, check=True)
    assert "r_one_to_one_a" in done.stdout
    assert "rotated" in done.stdout


def test_layers__unknown_ones_fail_in_inspect_before_any_training(tmp_path: Path) -> None:
    project = copy_of_project(tmp_path)
    project.configure(layers={"small": ["conv1.rule"]})
    done = project.snakemake("results/training/small-s0", "results/training/small-s1", check=False)
    assert done.returncode != 0
    assert re.search(
        r"convergent inspect: .*no layer 'conv1\.rule'.*conv1\.relu, .*did you mean conv1\.relu\?", done.stderr
    )
    assert not (tmp_path / "results" / "training").exists()


def test_layers__unknown_ones_are_refused_before_any_job_once_a_network_is_known(finished: Project) -> None:
    finished.configure(layers={"small": ["conv1.rule"]})
    done = finished.snakemake("--dry-run", check=False)
    finished.configure()
    assert done.returncode == 1
    assert re.search(r"^convergent: .*no layer 'conv1\.rule'.*did you mean conv1\.relu\?$", done.stderr, re.M)


def test_name__another_experiment_shares_the_trainings(finished: Project) -> None:
    finished.configure(name="other")
    planned = finished.planned()
    finished.configure()
    assert planned["record"] == 6
    assert not {"inspect", "train"} & set(planned)


def test_networks__another_one_leaves_the_first_alone(finished: Project) -> None:
    finished.configure(networks=["digits_cnn", "small"], seeds=[0, 1, 2])
    planned = finished.planned()
    finished.configure()
    assert {rule: planned[rule] for rule in ("inspect", "probe", "train", "record", "between")} == {
        "inspect": 1,
        "probe": 0,
        "train": 3,
        "record": 6,
        "between": 12,
    }


def test_inspect__tells_every_node_and_its_shape(finished: Project) -> None:
    graph = json.loads((finished.root / "results" / "networks" / "small.json").read_text())
    assert graph["relu"] == LAYERS
    assert graph["nodes"]["conv1.relu"] == [4, 8, 8]
    assert graph["nodes"]["classify"] == [10]
    recorded = store.read(finished.root / "results" / "activations" / "small-s0-final.zarr", "activations")
    assert recorded.layers["conv1.relu"]["activation"].shape == (80, 8, 8, 4)
    assert np.array_equal(np.unique(recorded.layers["fc1.relu"]["fold"]), np.arange(4))
