"""Compare whole layers of a pair: CKA raw, debiased and calibrated, CCA and its kin, Procrustes."""

import argparse
from dataclasses import asdict
from pathlib import Path

from convergent.config import Similarity, add_settings
from convergent.measures.similarity import similarity
from convergent.steps import _pair, _sides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _pair.add_arguments(parser)
    _sides.add_arguments(parser, "spatial means", "pooled-")
    add_settings(parser, Similarity, "similarity")


def run(*, settings: Similarity, pooled_a: Path, pooled_b: Path, **stores: Path) -> None:
    rows = _pair.pooled(stores["between"], pooled_a, pooled_b)
    _pair.measure(
        "similarity",
        lambda layer, moments, generator: similarity(moments, *rows(layer), generator=generator, **asdict(settings)),
        title="Similarity of whole layers of A and B",
        references="Kornblith et al. 2019, arXiv 1905.00414; Raghu et al. 2017, arXiv 1706.05806; Morcos et al. 2018, "
        "arXiv 1806.05759; Williams et al. 2021, arXiv 2110.14739; Gröger, Wen, Brbić 2026, arXiv 2602.14486",
        settings=asdict(settings),
        **stores,
    )
