"""The steps that run trained networks altered: stitching, removal of units, predictions and their ensemble.

One training of a small network, its weights and permuted copies of them: what must be restored exactly is known.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from convergent import config, data, declarations, files, networks, store
from convergent.errors import InputError
from convergent.measures.ensemble import ensemble as measured
from convergent.steps import (
    between,
    ensemble,
    inspect,
    maps,
    matching,
    predictions,
    probe,
    record,
    stitching,
    train,
    unit_removal,
    within,
)

RECIPE = declarations.build(
    config.Recipe,
    {
        "data": "digits",
        "architecture": {"name": "convnet", "arguments": {"channels": [8], "hidden": [16]}},
        "training": {"epochs": 12, "batch_size": 32, "learning_rate": 0.05},
        "stages": ["init", "final"],
    },
    "test",
)
LAYERS = ["conv1.relu", "fc1.relu"]
IMAGES, FOLDS = 240, 4
ALPHAS = (0.5, 0.05, 1e-6)
COMMON: dict[str, Any] = {"data_root": None, "threads": 1}


def permuted(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same network with the units of every hidden layer in another order."""
    generator, found = torch.Generator().manual_seed(1), dict(weights)
    for layer, following in (("conv1", "fc1"), ("fc1", None)):
        units = len(found[f"{layer}.linear.bias"])
        order = torch.randperm(units, generator=generator)
        assert not torch.equal(order, torch.arange(units))
        for name in ("weight", "bias"):
            found[f"{layer}.linear.{name}"] = found[f"{layer}.linear.{name}"][order]
        name = f"{following}.linear.weight" if following else "classify.weight"
        weight = found[name]
        # Between them conv1 is pooled to 2 × 2 positions of every unit.
        found[name] = weight.unflatten(1, (units, -1))[:, order].reshape(weight.shape)
    return {name: values.contiguous() for name, values in found.items()}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the steps before write, of net-s0, a permuted copy of it, net-s1, and another training, net-s2."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    root = tmp_path_factory.mktemp("made")
    inspect.run(network="net", recipe=RECIPE, layers="all", data_root=None, output=root / "net.json")
    settings = config.Probe(IMAGES, FOLDS, 0)
    probe.run(data="digits", image_size=None, settings=settings, data_root=None, output=root / "probe.zarr")
    for seed in (0, 2):
        train.run(recipe=RECIPE, seed=seed, output=root / f"net-s{seed}", **COMMON)
    shutil.copytree(root / "net-s0", root / "net-s1")
    described = files.read_sealed(root / "net-s1" / "training.json")
    for stage in ("init", "final"):
        path = root / "net-s1" / f"{stage}.safetensors"
        save_file(permuted(load_file(path)), path)
        described["checkpoints"][stage] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    files.write_sealed(described | {"seed": 1}, root / "net-s1" / "training.json")
    for seed, stage in ((0, "final"), (1, "final"), (2, "final"), (0, "init"), (2, "init")):
        snapshot = f"net-s{seed}-{stage}"
        record.run(
            recipe=RECIPE,
            settings=config.Recording("float32", 250, "crc32c", "none", "all"),
            inspected=root / "net.json",
            layers="all",
            training=root / f"net-s{seed}",
            stage=stage,
            probe=root / "probe.zarr",
            activations=root / "activations" / f"{snapshot}.zarr",
            pooled=root / "pooled" / f"{snapshot}.zarr",
            **COMMON,
        )
        within.run(
            activations=root / "activations" / f"{snapshot}.zarr",
            precision="float64",
            threads=1,
            output=root / "moments" / f"{snapshot}.zarr",
        )
    yield root
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


def mapped(root: Path, a: str, b: str) -> Path:
    """The maps of a pair of snapshots."""
    output, pair = root / "maps" / f"{a}--{b}.zarr", root / "moments" / f"{a}--{b}.zarr"
    if not output.exists():
        between.run(
            a=root / "activations" / f"{a}.zarr",
            b=root / "activations" / f"{b}.zarr",
            settings=config.Moments("float64", 1),
            threads=1,
            output=pair,
        )
        sides = {side: root / "moments" / f"{name}.zarr" for side, name in (("a", a), ("b", b))}
        maps.run(settings=config.Stitching(ALPHAS), between=pair, output=output, **sides)
    return output


def of_pair(root: Path, a: int, b: int) -> dict[str, Any]:
    """The options of a step of two networks."""
    return COMMON | {
        "recipe": RECIPE,
        "inspected": root / "net.json",
        "layers": "all",
        "training_a": root / f"net-s{a}",
        "training_b": root / f"net-s{b}",
        "stage": "final",
        "probe": root / "probe.zarr",
        "batch": 32,
    }


def test_stitching__refuses_the_maps_of_one_direction_before_it_reads_any(tmp_path: Path) -> None:
    absent = {"maps": tmp_path / "maps.zarr", "untrained": [tmp_path / "a.zarr"], "output": tmp_path / "stitching.zarr"}
    with pytest.raises(InputError, match=r"\A--untrained: 1 given, but a store for each direction is .+\Z"):
        stitching.run(**absent, **of_pair(tmp_path, 0, 1))


def stitched(root: Path, output: Path, a: int, b: int, untrained: bool = False) -> store.Store:
    controls = [(a, b), (b, a)] if untrained else []
    stitching.run(
        maps=mapped(root, f"net-s{a}-final", f"net-s{b}-final"),
        untrained=[mapped(root, f"net-s{x}-init", f"net-s{y}-final") for x, y in controls],
        output=output / "stitching.zarr",
        **of_pair(root, a, b),
    )
    return store.read(output / "stitching.zarr", "measure")


def accuracy_of(root: Path, seed: int) -> float:
    """Of the network on the probe, by the images themselves."""
    held_out = data.load("digits", "held_out")
    network = networks.of_recipe(RECIPE, held_out).eval()
    network.load_state_dict(load_file(root / f"net-s{seed}" / "final.safetensors"))
    chosen = torch.from_numpy(store.read(root / "probe.zarr", "probe").layers["/"]["source_index"].values)
    with torch.no_grad():
        return float((network(held_out.normalised(chosen)).argmax(1) == held_out.labels[chosen]).double().mean())


def test_stitching__of_a_network_with_itself_keeps_everything(made: Path, tmp_path: Path) -> None:
    found = stitched(made, tmp_path, 0, 0)
    expected = accuracy_of(made, 0)
    assert expected > 0.8
    assert list(found.layers) == LAYERS
    for layer in found.layers.values():
        np.testing.assert_allclose(layer["accuracy_intact"], expected)
        for name in ("identity", "one_to_one", "least_squares", "lasso_1e-06"):
            np.testing.assert_allclose(layer["accuracy"].sel(map=name), expected)
        assert (layer["accuracy"].sel(map="mean") < 0.3).all()
        assert layer.attrs["bypassed"] == 0
    assert found.attributes["untrained_sender"].startswith("left out")


def test_stitching__restores_a_permuted_copy_one_to_one(made: Path, tmp_path: Path) -> None:
    assert accuracy_of(made, 1) == accuracy_of(made, 0)
    for layer in stitched(made, tmp_path, 0, 1).layers.values():
        for name in ("one_to_one", "least_squares", "lasso_1e-06"):
            np.testing.assert_allclose(layer["accuracy"].sel(map=name), accuracy_of(made, 0))
        assert (layer["accuracy"].sel(map="identity") < accuracy_of(made, 0) - 0.1).all()


def test_stitching__is_what_the_maps_say_on_the_half_they_have_not_seen(made: Path, tmp_path: Path) -> None:
    """fc1 by hand: its units, mapped by NumPy, and the weights of the last layer of the receiver."""
    found = stitched(made, tmp_path, 0, 2).layers["fc1.relu"]
    fitted = store.read(mapped(made, "net-s0-final", "net-s2-final"), "maps").layers["fc1.relu"]
    seen = store.read(made / "activations" / "net-s0-final.zarr", "activations").layers["fc1.relu"]
    last = {name: values.numpy() for name, values in load_file(made / "net-s2" / "final.safetensors").items()}
    for i, name in enumerate(fitted["map"].values):
        correct = []
        for half, images in ((1, slice(0, IMAGES // 2)), (0, slice(IMAGES // 2, IMAGES))):
            of = fitted.sel(half=half).isel(map=i)
            units = np.maximum(
                seen["activation"].values[images] @ of["weight_ab"].values.T + of["intercept_ab"].values, 0
            )
            answers = (units @ last["classify.weight"].T + last["classify.bias"]).argmax(axis=1)
            correct.append(answers == seen["label"].values[images])
        by_fold = np.concatenate(correct).reshape(FOLDS, -1).mean(axis=1)
        np.testing.assert_allclose(found["accuracy_of_fold"].sel(direction="a_to_b", map=name), by_fold, atol=0.018)
        np.testing.assert_allclose(found["accuracy"].sel(direction="a_to_b", map=name), by_fold.mean(), atol=0.005)


def test_stitching__has_an_untrained_control(made: Path, tmp_path: Path) -> None:
    found = stitched(made, tmp_path, 0, 2, untrained=True)
    assert found.attributes["untrained_sender"] == "the same seed at init"
    for layer in found.layers.values():
        null = layer["summary_null"].sel(null_kind="untrained_sender", statistic="accuracy_least_squares")
        np.testing.assert_allclose(layer["accuracy_untrained"].sel(map="least_squares").mean(), null)
    fc1 = found.layers["fc1.relu"]
    assert (fc1["accuracy_untrained"] < fc1["accuracy"]).sel(map=["one_to_one", "least_squares"]).all()


def test_stitching__refuses_maps_of_another_probe(made: Path, tmp_path: Path) -> None:
    """Else the images of a half would not be those that its maps have not seen."""
    settings = config.Probe(100, 10, seed=1)
    probe.run(data="digits", image_size=None, settings=settings, data_root=None, output=tmp_path / "p.zarr")
    with pytest.raises(InputError, match=r"compares probe_fingerprint \w+, but .*net-s0 holds"):
        stitching.run(
            maps=mapped(made, "net-s0-final", "net-s2-final"),
            untrained=[],
            output=tmp_path / "stitching.zarr",
            **of_pair(made, 0, 2) | {"probe": tmp_path / "p.zarr"},
        )


def test_stitching__refuses_maps_of_another_pair(made: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="compares snapshot net-s2-final"):
        stitching.run(
            maps=mapped(made, "net-s0-final", "net-s2-final"),
            untrained=[],
            output=tmp_path / "stitching.zarr",
            **of_pair(made, 0, 1),
        )
    options = of_pair(made, 0, 2) | {"layers": ["conv1.linear"], "maps": mapped(made, "net-s0-final", "net-s2-final")}
    with pytest.raises(InputError, match=r"holds no maps of conv1\.linear"):
        stitching.run(untrained=[], output=tmp_path / "stitching.zarr", **options)


def test_unit_removal__loses_what_a_network_without_these_units_loses(made: Path, tmp_path: Path) -> None:
    mapped(made, "net-s0-final", "net-s2-final")
    pair = "net-s0-final--net-s2-final.zarr"
    sides = {side: made / "moments" / f"net-s{seed}-final.zarr" for side, seed in (("a", 0), ("b", 2))}
    pooled = {f"pooled_{side}": made / "pooled" / path.name for side, path in sides.items()}
    matched = tmp_path / "matching.zarr"
    settings = config.Matching(3, 3)
    matching.run(settings=settings, between=made / "moments" / pair, output=matched, **sides, **pooled)
    output = tmp_path / "unit_removal.zarr"
    removal = config.UnitRemoval((0.5, 1), 3)
    unit_removal.run(settings=removal, matching=matched, output=output, **sides, **of_pair(made, 0, 2))
    found = store.read(output, "measure")
    assert list(found.layers) == LAYERS
    fc1 = found.layers["fc1.relu"]
    assert fc1["share"].values.tolist() == [0, 0.25, 0.5, 1]
    assert fc1.attrs["n"] == IMAGES
    recorded = store.read(made / "activations" / "net-s2-final.zarr", "activations").layers["fc1.relu"]
    seen, labels = recorded["activation"].values, recorded["label"].values
    last = {name: values.numpy() for name, values in load_file(made / "net-s2" / "final.safetensors").items()}
    r = store.read(matched, "measure").layers["fc1.relu"]["r_one_to_one_b"].values
    live = np.flatnonzero(seen.std(axis=0) > 0)
    ascending = live[np.argsort(np.where(np.isnan(r[live]), -np.inf, r[live]), kind="stable")]
    for order, chosen in (("rare", ascending), ("shared", ascending[::-1])):
        for share in (0, 0.25, 0.5, 1):
            units = seen.copy()
            removed = chosen[: round(share * len(live))]
            units[:, removed] = seen[:, removed].mean(axis=0)
            right = (units @ last["classify.weight"].T + last["classify.bias"]).argmax(axis=1) == labels
            np.testing.assert_allclose(
                fc1["accuracy"].sel(side="b", order=order, share=share), right.mean(), atol=0.003
            )
    for layer in found.layers.values():
        np.testing.assert_allclose(layer["accuracy"].sel(side="a", share=0), accuracy_of(made, 0))
        assert (layer["accuracy_random"].sel(share=1) < 0.3).all()
    with pytest.raises(InputError, match=r"compares snapshot net-s2-final, but .*net-s1 holds net-s1-final"):
        unit_removal.run(settings=removal, matching=matched, output=output, **sides, **of_pair(made, 0, 1))


def test_predictions__are_what_the_network_answers_and_the_ensemble_averages_them(made: Path, tmp_path: Path) -> None:
    for seed in (0, 2):
        options = COMMON | {"recipe": RECIPE, "stage": "final", "probe": made / "probe.zarr", "batch": 64}
        predictions.run(training=made / f"net-s{seed}", output=tmp_path / f"{seed}.zarr", **options)
    one, other = (store.read(tmp_path / f"{seed}.zarr", "predictions").layers["/"].load() for seed in (0, 2))
    right = one["logit"].values.argmax(axis=1) == one["label"].values
    assert right.mean() == pytest.approx(accuracy_of(made, 0))
    assert one["class"].values.tolist() == [str(digit) for digit in range(10)]
    output, settings = tmp_path / "ensemble.zarr", config.Ensemble(20)
    ensemble.run(a=tmp_path / "0.zarr", b=tmp_path / "2.zarr", settings=settings, output=output)
    found = store.read(output, "measure")
    assert list(found.layers) == ["/"]
    expected = measured(one, other, permutations=20)
    for name in ("summary", "summary_standard_error"):
        np.testing.assert_allclose(found.layers["/"][name], expected[name])
    assert (found.attributes["snapshot_a"], found.attributes["snapshot_b"]) == ("net-s0-final", "net-s2-final")
