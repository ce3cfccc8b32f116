"""Match the subspaces of a pair on samples drawn at random, as published."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent import engine, samples, store
from convergent.config import SubspaceMatchSampled, parse
from convergent.errors import about
from convergent.measures.subspace_match_sampled import subspace_match_sampled
from convergent.steps import _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--a", required=True, type=Path, help="store of activations of A")
    parser.add_argument("--b", required=True, type=Path, help="store of activations of B")
    parser.add_argument(
        "--settings",
        required=True,
        type=parse(SubspaceMatchSampled),
        help="the subspace_match_sampled section: a YAML file, or JSON",
    )
    engine.add_arguments(parser)
    parser.add_argument("--output", required=True, type=Path, help="store to write")


def run(
    *, a: Path, b: Path, settings: SubspaceMatchSampled, threads: int, output: Path, engine_name: str = "threads"
) -> None:
    recorded_a, recorded_b = _sides.read(a, b, "activations", chunks={})
    layers = {}
    with engine.of(engine_name, threads):
        for layer, dataset in recorded_a.layers.items():
            with about(f"{a} and {b}: {layer}"):
                drawn = samples.between(
                    dataset["activation"],
                    recorded_b.layers[layer]["activation"],
                    positions=settings.positions,
                    draws=settings.draws,
                    seed=settings.seed,
                )
                layers[layer] = subspace_match_sampled(drawn, epsilons=settings.epsilons)
    attributes = store.stamp(
        "Maximum matches of the subspaces that units of A and B span, on samples drawn at random",
        "subspace_match_sampled",
        asdict(settings),
        references="Wang et al. 2018, arXiv 1810.11750, section 5",
        **_sides.attributes(recorded_a, recorded_b),
    )
    store.save(layers, output, "measure", attributes)
