"""Every step that computes on an engine: the numbers of threads on processes too, and not a word of where it ran."""

import json
import re
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import recorded
import xarray as xr

from convergent import engine, joint_histograms, moments, rdms, samples, store
from convergent.__main__ import main
from convergent.measures import held_out, sparse_prediction
from convergent.steps import _pair

ROOT = Path(__file__).parents[2]
# By what they make of the stores a and b: the steps, each after those whose results it reads.
COMMANDS = {
    "within": "within --activations {a} --precision float64",
    "within_b": "within --activations {b} --precision float64",
    "between": "between --a {a} --b {b} --settings {moments}",
    "edges": "edges --activations {a} --settings {mutual_information}",
    "edges_b": "edges --activations {b} --settings {mutual_information}",
    "rdm": "rdm --activations {a} --images 32",
    "exemplars": "exemplars --activations {a} --images 3",
    "statistics": "statistics --activations {a} --moments {within}",
    "mutual_information": "mutual_information --activations-a {a} --activations-b {b} --permutations 1"
    " --edges-a {edges} --edges-b {edges_b} --a {within} --b {within_b} --between {between}",
    "sparse_prediction": "sparse_prediction --settings {sparse_prediction}"
    " --a {within} --b {within_b} --between {between}",
    "subspace_match_sampled": "subspace_match_sampled --a {a} --b {b} --settings {subspace_match_sampled}",
    "layer_pairs": "layer_pairs --a {a} --b {b} --settings {moments}",
}
STEPS = sorted({command.split()[0] for command in COMMANDS.values()})
SETTINGS = {
    "moments": {"precision": "float64", "permutations": 1},
    "mutual_information": {"bins": 3, "samples": 1000},
    "sparse_prediction": {"alphas": 2, "smallest": 0.1},
    "subspace_match_sampled": {
        "positions": 60,
        "draws": 4,
        "dead": "unmatched",
        "ridge": 1e-6,
        "epsilons": [0.3],
        "seed": 0,
    },
}


def limit(patch: pytest.MonkeyPatch, histograms: int) -> None:
    """Let the layers here be too large to be read, held or written at once."""
    for module, name in (moments, "HELD"), (rdms, "HELD_BYTES"), (held_out, "IN_MEMORY"), (_pair, "IN_MEMORY"):
        patch.setattr(module, name, 1)
    patch.setattr(sparse_prediction, "TARGETS", 2)
    limits = {moments.gather: 200, moments.within: 200, moments.between: 200, samples.between: 3000}
    for function, memory in (limits | {joint_histograms.between: histograms}).items():
        patch.setitem(function.__kwdefaults__, "memory", memory)


def run(folder: Path, name: str, output: Path, *options: str) -> xr.DataTree:
    """What a step makes, of stores in a folder."""
    words = {path.stem: str(path) for path in folder.glob("*.zarr")}
    words |= {section: json.dumps(settings) for section, settings in SETTINGS.items()}
    main([*(word.format_map(words) for word in COMMANDS[name].split()), *options, "--output", str(output)])
    return xr.load_datatree(output, engine="zarr")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, xr.DataTree]]:
    """Two stores of activations in a folder, and what the steps make of them in one thread."""
    folder, generator = tmp_path_factory.mktemp("threads"), np.random.default_rng(0)
    for side in "ab":
        shapes = {"conv": (4 * recorded.FOLD, 3, 3, 4), "fc": (4 * recorded.FOLD, 7)}
        values = {name: np.maximum(generator.standard_normal(shape), 0) for name, shape in shapes.items()}
        recorded.write(folder / f"{side}.zarr", {name: x.astype(np.float16) for name, x in values.items()})
    return folder, {name: run(folder, name, folder / f"{name}.zarr") for name in COMMANDS}


@pytest.fixture(scope="module")
def processes(expected: object) -> Iterator[None]:
    """The engine `local`, once for all steps."""
    with engine.of("local", 2):
        yield


@pytest.mark.parametrize(
    ("step", "histograms"),
    # Tables in several blocks of units, of which the codes of all samples fit into the memory too, or do not.
    [*((step, None) for step in STEPS), *((step, 10_000) for step in STEPS), ("mutual_information", 1)],
)
def test_local__gives_the_numbers_of_threads(
    expected: tuple[Path, dict[str, xr.DataTree]],
    processes: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    step: str,
    histograms: int | None,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(engine, "of", lambda *given: asked.append(given) or nullcontext())
    if histograms is not None:
        limit(monkeypatch, histograms)
    folder, made = expected
    found = run(folder, step, tmp_path / "found.zarr", "--engine", "local", "--threads", "2", "--workers", "3")
    assert asked == [("local", 2, 3)]
    assert found.attrs | {store.SEAL: ""} == made[step].attrs | {store.SEAL: ""}
    for layer in made[step].subtree:
        xr.testing.assert_allclose(found[layer.path].to_dataset(), layer.to_dataset(), rtol=1e-9, atol=1e-12)


def test_steps__here_are_all_that_take_workers() -> None:
    """Each rule with tasks hands them on, and no other takes them."""
    rules = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    of_rule = dict(re.findall(r"^rule (\w+):\n(.*?)(?=^\w|\Z)", rules, re.M | re.S))
    told = "--engine {resources.engine} --workers {resources.tasks} --threads {threads}"
    assert sorted(rule for rule, text in of_rule.items() if told in text) == STEPS
    for option in ("tasks=1", "{resources.tasks}", "--workers"):
        assert sorted(rule for rule, text in of_rule.items() if option in text) == STEPS, option
