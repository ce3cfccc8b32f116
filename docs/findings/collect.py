"""What docs/findings.md cites, taken from finished results: compact tables, the reports in words, figures.

    python docs/findings/collect.py RESULTS

RESULTS is the results folder of the small experiments. Of each, `{experiment}.csv` keeps the means over pairs of
`summary.csv`, `{experiment}.rst` the report in words; the tables between `<!-- name -->` and `<!-- end -->` in
docs/findings.md are written anew from the first. A test holds the page to them. Shares of live units, and means over
both directions (`…_both`), are computed pair by pair.
"""

import math
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from convergent import store, tables
from convergent.measures.subspace_match import COUNTS

HERE = Path(__file__).parent
PAGE = HERE.parent / "findings.md"
SMALL, RESNET = "cifar_small", "cifar_resnet_small"
LI, WANG, ACROSS = "li2016_small", "wang2018_small", "architectures_small"
FIGURES = {
    f"{LI}/trained/{SMALL}": (
        "matching_by_depth",
        "matching_curves",
        "code_types",
        "cluster_subspaces",
        "matched_units",
        "stitching",
        "unit_removal",
        "correlation_matrices",
        "mutual_information",
        "clusters",
        "sparse_prediction",
        "mapping_weights",
        "activation_spectra",
        "rsa",
    ),
    f"{WANG}/trained/{SMALL}": ("subspace_match_by_depth", "subspace_match", "minimal_match_units"),
    f"{WANG}/trained/{RESNET}": ("subspace_match_by_depth", "subspace_match"),
    f"{ACROSS}/across/{SMALL}--{RESNET}": ("layer_pairs",),
    f"{ACROSS}/all/all": ("ensemble",),
}
DIGITS = 4  # significant ones, in the compact tables
PIXELS = 1800, 1800  # width and height of a figure, at most
BOTH = ("ab", "ba")
POOLED = "all of "  # pairs of several networks together
UNTRAINED = "untrained"  # the comparison, and the kind of null
OF_PAIR = ["comparison", "pair", "layer"]
DIRECTION = {"matching": "a|b", "mutual_information": "a|b", "ensemble": "a|b", "sparse_prediction": "ab|ba"}


@dataclass(frozen=True)
class Column:
    """One column of a table of the page: a statistic with its standard error over seeds, or one of its nulls."""

    heading: str
    measure: str
    statistic: str
    null: str | None = None
    form: str = "z.2f"
    comparison: str = ""  # where it is not that of the table
    network: str = ""  # likewise

    def among(self, heading: str, comparison: str, network: str = "") -> "Column":
        return replace(self, heading=heading, comparison=comparison, network=network)

    def against(self, heading: str, null: str) -> "Column":
        return replace(self, heading=heading, null=null)

    def of_untrained(self, permuted: str, null: str) -> "Column":
        """A null of two untrained networks; its star is of theirs."""
        return replace(self, heading=f"untrained, {permuted} permuted", comparison=UNTRAINED, null=null)


@dataclass(frozen=True)
class Table:
    """One table of the page, a row for each layer, or for each with dead units alone."""

    experiment: str
    comparison: str
    network: str
    columns: Sequence[Column]
    dead_alone: bool = False


def _share(heading: str, measure: str, statistic: str) -> Column:
    return Column(heading, measure, statistic, form="z.1%")


SEMI = Column("best partner, r", "matching", "mean_r_semi_both")
ONE_TO_ONE = Column("one to one, r", "matching", "mean_r_one_to_one")
NO_PARTNER = _share("no partner > 0.5", "matching", "share_no_partner_semi_both")
MUTUAL = Column("mutual best partners", "matching", "n_mutual_nearest", form="z.1f")
PARTNERS = [
    MUTUAL,
    _share("same partner", "matching", "share_same_partner_both"),
    _share("distinct partners", "matching", "share_distinct_partners_both"),
]
SAME = _share("same best partner", "mutual_information", "share_same_semi_both")
EIGHT = Column("of the best 8, shared", "mutual_information", "n_best_8_shared")
RANKS = Column("rank correlation with \\|r\\|", "mutual_information", "rank_correlation_absolute")
CLUSTERS = _share("clusters of both networks", "clustering", "share_clusters_with_both")
OF_CLUSTER = Column("R² from the cluster", "clustering", "mean_r2_clusters")
BEST_OF_CLUSTER = Column("R² from its best unit", "clustering", "mean_best_r2_clusters")
BEST_UNIT = Column("R², best unit", "sparse_prediction", "r2_best_single_both")
ALL_UNITS = Column("R², all units", "sparse_prediction", "r2_least_squares_both")
CODES = [
    _share(heading, "sparse_prediction", f"share_{name}_both")
    for heading, name in {"1 unit": "one", "2–5 units": "two_to_five", "more": "more"}.items()
]
DEAD = _share("dead units", "subspace_match", "share_dead")
AREA = Column("mean over ε", "subspace_match", "area_live")
MATCH = {e: _share(f"ε = {e}", "subspace_match", f"similarity_at_{e}_live") for e in ("0.15", "0.25", "0.3", "0.5")}
MINIMAL = Column("median minimal match, ε = 0.5", "subspace_match", "median_minimal_size")
MINIMAL_PAIRS = _share("of two units", "subspace_match", "share_minimal_pairs")
SAMPLED = {e: _share(f"ε = {e}", "subspace_match_sampled", f"similarity_at_{e}") for e in ("0.3", "0.5")}
MATCHED = {e: [of, of.against("untrained", "untrained")] for e, of in (MATCH | {"area": AREA}).items()}
STITCHED = {
    name: _share(heading, "stitching", f"accuracy_{name}")
    for name, heading in {"one_to_one": "one to one", "lasso_few": "≤ 5 units", "least_squares": "all units"}.items()
}
BY_NUMBER = _share("by number", "stitching", "accuracy_identity")
RARE = _share("rarest quarter", "unit_removal", "lost_rare")
SHARED = _share("most shared quarter", "unit_removal", "lost_shared")
REMOVED = _share("shared − rare", "unit_removal", "lost_shared_minus_rare")
GAIN = Column("gain", "ensemble", "gain", form="z.2%")
ERRORS = Column("correlation of errors", "ensemble", "error_correlation")
BY_DISSIMILARITY = Column("correlation of gain and 1 − r over pairs", "ensemble", "correlation_gain_dissimilarity")
IMAGES = Column("dissimilarity 1 − r", "rsa", "spearman_correlation")
EUCLIDEAN = Column("Euclidean", "rsa", "spearman_euclidean")
CKA = Column("CKA with the most similar layer", "layer_pairs", "best_cka_a")
BEST = [
    CKA,
    CKA.against("untrained", "untrained"),
    CKA.against("B's images permuted", "permuted"),
    *(
        column
        for heading, statistic in {
            "r one to one": "best_r_one_to_one_a",
            "held-out R² of its units": "best_r2_ba_a",
            "rank correlation of depths": "depth_correlation_a",
        }.items()
        for of in [Column(heading, "layer_pairs", statistic)]
        for column in (of, of.against("untrained", "untrained"))
    ),
]
WITHIN = [column for column in BEST if column.null is None]
STAGES = {
    "two trained": "trained",
    "two untrained": "untrained",
    "trained, untrained": "trained_untrained",
    "one before and after": "from_init",
    "one after 1 and 6 epochs": "from_epoch1",
    "one after 3 and 6 epochs": "from_epoch3",
}
TABLES = (
    {
        name: Table(LI, "trained", SMALL, columns)
        for name, columns in {
            "matching": [
                SEMI,
                ONE_TO_ONE,
                ONE_TO_ONE.against("untrained", "untrained"),
                ONE_TO_ONE.against("B's axes rotated", "rotated"),
                ONE_TO_ONE.against("B's images permuted", "permuted"),
                ONE_TO_ONE.of_untrained("images", "permuted"),
                NO_PARTNER,
                NO_PARTNER.against("untrained", "untrained"),
            ],
            "partners": [
                column
                for of in PARTNERS
                for column in (
                    of,
                    of.against("untrained", "untrained"),
                    of.against("B's axes rotated", "rotated"),
                    of.against("B's images permuted", "permuted"),
                )
            ],
            "information": [
                SAME,
                SAME.against("untrained", "untrained"),
                SAME.against("B's images permuted", "permuted"),
                _share("same, one to one", "mutual_information", "share_same_one_to_one"),
                EIGHT,
                EIGHT.against("B's images permuted", "permuted"),
                RANKS,
                RANKS.against("B's images permuted", "permuted"),
            ],
            "clusters": [
                CLUSTERS,
                CLUSTERS.against("labels permuted", "permuted_labels"),
                CLUSTERS.against("B's images permuted", "permuted"),
                *(
                    column
                    for of in (OF_CLUSTER, BEST_OF_CLUSTER)
                    for column in (
                        of,
                        of.against("labels permuted", "permuted_labels"),
                        of.against("untrained", "untrained"),
                        of.of_untrained("labels", "permuted_labels"),
                    )
                ),
            ],
            "whole_layers": [
                BEST_UNIT,
                BEST_UNIT.against("untrained", "untrained"),
                ALL_UNITS,
                ALL_UNITS.against("untrained", "untrained"),
                ALL_UNITS.against("B's images permuted", "permuted"),
                ALL_UNITS.of_untrained("images", "permuted"),
            ],
            "codes": [
                BEST_UNIT,
                Column("R², LASSO", "sparse_prediction", "r2_one_standard_error_both"),
                Column("its units", "sparse_prediction", "mean_nonzero_one_standard_error_both"),
                ALL_UNITS,
                *(column for of in CODES for column in (of, of.against("untrained", "untrained"))),
                _share("none", "sparse_prediction", "share_unpredictable_both"),
            ],
            "losses": [
                Column(f"λ = {name}", "sparse_prediction", f"li2016_loss_at_{value}")
                for name, value in {"0": "0", "1e-5": "1e-05", "1e-4": "0.0001", "1e-3": "0.001"}.items()
            ]
            + [
                Column("λ = 10^-2.6", "sparse_prediction", "li2016_loss_at_0.00251"),
                Column("λ = 1e-2", "sparse_prediction", "li2016_loss_at_0.01"),
                Column("λ = 1e-1", "sparse_prediction", "li2016_loss_at_0.1"),
                Column("units at 10^-2.6", "sparse_prediction", "li2016_n_nonzero_at_0.00251"),
            ],
            "stitching": [
                _share("intact", "stitching", "accuracy_intact"),
                *(
                    column
                    for stitched in (*STITCHED.values(), BY_NUMBER)
                    for column in (stitched, stitched.against("sender untrained", "untrained_sender"))
                ),
                BY_NUMBER.against("units at their mean", "mean_activation"),
            ],
            "removal": [
                RARE,
                RARE.against("at random", "random_units"),
                SHARED,
                SHARED.against("at random", "random_units"),
                REMOVED,
                REMOVED.against("by variance", "variance"),
                REMOVED.against("at random", "random_units"),
                Column("rank correlation of r and variance", "unit_removal", "rank_correlation_r_variance"),
            ],
            "ensemble": [
                _share("accuracy", "ensemble", "accuracy_both"),
                GAIN,
                GAIN.against("errors independent within classes", "permuted_within_classes"),
                ERRORS,
            ],
            "gains": [BY_DISSIMILARITY],
            "images": [
                IMAGES,
                IMAGES.against("untrained", "untrained"),
                IMAGES.against("images permuted", "permuted"),
                EUCLIDEAN,
                EUCLIDEAN.against("untrained", "untrained"),
            ],
            "spectra": [
                Column(heading, "statistics", statistic)
                for heading, statistic in {
                    "top unit, least": "mean_of_top_least",
                    "most": "mean_of_top_most",
                    "median unit, least": "mean_of_median_least",
                    "most ": "mean_of_median_most",
                }.items()
            ],
        }.items()
    }
    | {
        "sampled": Table(
            WANG,
            "trained",
            SMALL,
            [
                column
                for e, of in SAMPLED.items()
                for column in (of, replace(MATCH[e], heading="all positions", statistic=f"similarity_at_{e}"))
            ],
        ),
        "small_distances": Table(WANG, "trained", SMALL, [column for e in ("0.15", "0.25") for column in MATCHED[e]]),
        "gains_all": Table(ACROSS, "across + within", f"{POOLED}cifar10", [BY_DISSIMILARITY]),
        "layers_across": Table(ACROSS, "across", f"{SMALL}--{RESNET}", BEST),
        "layers_small": Table(ACROSS, "within", SMALL, WITHIN),
        "layers_resnet": Table(ACROSS, "within", RESNET, WITHIN),
        "ensembles": Table(
            ACROSS,
            "across",
            f"{SMALL}--{RESNET}",
            [
                GAIN,
                GAIN.against("errors independent within classes", "permuted_within_classes"),
                GAIN.among("gain, two VGGs", "within", SMALL),
                GAIN.among("gain, two ResNets", "within", RESNET),
                ERRORS,
                ERRORS.among("of two VGGs", "within", SMALL),
                ERRORS.among("of two ResNets", "within", RESNET),
            ],
        ),
    }
    | {
        f"{name}_{network}": Table(WANG, "trained", network, columns)
        for network in (SMALL, RESNET)
        for name, columns in {
            "subspaces": [
                DEAD,
                DEAD.among("untrained", UNTRAINED),
                *(column for e in ("0.3", "0.5", "area") for column in MATCHED[e]),
                AREA.against("B's images permuted", "permuted"),
                AREA.against("only means shared", "chance"),
                AREA.of_untrained("images", "permuted"),
                Column("ε of the whole layer", "subspace_match", "epsilon_full"),
                MINIMAL,
                MINIMAL.against("untrained", "untrained"),
                MINIMAL_PAIRS,
                MINIMAL_PAIRS.against("untrained", "untrained"),
            ],
            "units": [ONE_TO_ONE.among(heading, comparison) for heading, comparison in STAGES.items()],
            "stages": [AREA.among(heading, comparison) for heading, comparison in STAGES.items()],
        }.items()
    }
    | {
        f"{name}_{network}": Table(WANG, "trained", network, columns, dead_alone=True)
        for network in (SMALL, RESNET)
        for name, columns in {
            "unmatched": [
                replace(column, statistic=column.statistic.removesuffix("_live"))
                for column in (
                    *(column for e in ("0.15", "0.3", "0.5", "area") for column in MATCHED[e]),
                    AREA.against("B's images permuted", "permuted"),
                    AREA.of_untrained("images", "permuted"),
                )
            ],
            "dead": [DEAD.among(heading, comparison) for heading, comparison in STAGES.items()],
        }.items()
    }
)


def read(experiment: str) -> pd.DataFrame:
    """The compact table of one experiment."""
    return pd.read_csv(HERE / f"{experiment}.csv")


def page(text: str) -> str:
    """The page with its tables made anew from the compact ones."""
    for name, table in TABLES.items():
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(start)
        if not found:
            raise ValueError(f"{PAGE.name} has no place for the table {name}: {start.strip()}")
        text = before + start + _drawn(table) + end + rest.partition(end)[2]
    return text


def _drawn(table: Table) -> str:
    rows = read(table.experiment)
    cells = []
    for column in table.columns:
        comparison, network = column.comparison or table.comparison, column.network or table.network
        pair = network if network.startswith(POOLED) else f"{network}-all"
        cells.append(_cells(rows[(rows["comparison"] == comparison) & (rows["pair"] == pair)], column))
    layers = list(dict.fromkeys(layer for of_column in cells for layer in of_column))
    if table.dead_alone:
        dead = rows[
            (rows["statistic"] == DEAD.statistic) & (rows["pair"] == f"{table.network}-all") & (rows["value"] > 0)
        ]
        layers = [layer for layer in layers if layer in set(dead["layer"])]
    lines = [["", *(column.heading for column in table.columns)], ["---", *["---:"] * len(cells)]]
    lines += [[layer, *(of_column.get(layer, "") for of_column in cells)] for layer in layers]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _cells(rows: pd.DataFrame, column: Column) -> dict[str, str]:
    """By layer: value ± standard error, or the null, starred where the value lies beyond it."""
    chosen = rows[(rows["measure"] == column.measure) & (rows["statistic"] == column.statistic)]
    if column.null is not None:
        chosen = chosen[chosen["null_kind"] == column.null]
    return {str(row["layer"]): _cell(row, column) for _, row in chosen.drop_duplicates("layer").iterrows()}


def _cell(row: pd.Series, column: Column) -> str:
    def number(value: float) -> str:
        if math.isnan(value):
            return "–"
        return f"{value:{column.form}}"

    if column.null is not None:
        return number(row["null"]) + (" *" if row["verdict"] in (tables.LARGER, tables.SMALLER) else "")
    return number(row["value"]) + (f" ± {number(row['standard_error'])}" if row["standard_error"] >= 0 else "")


def compact(summary: pd.DataFrame) -> pd.DataFrame:
    """Of a summary the means over pairs, and those of what is derived from every pair."""
    over_pairs = summary["pair"].str.endswith("-all") | summary["pair"].str.startswith(POOLED)
    of_pairs = summary[~over_pairs]
    derived = pd.concat([of_both_directions(of_pairs), per_live_unit(of_pairs)])[tables.COLUMNS]
    return pd.concat([summary[over_pairs], tables.over_pairs(derived)], ignore_index=True)


def of_both_directions(rows: pd.DataFrame) -> pd.DataFrame:
    """``…_both``: means over the statistics of both directions, of pairs, with those of their nulls."""
    found = []
    for measure, direction in DIRECTION.items():
        of = rows[rows["measure"] == measure]
        named = of["statistic"].str.extract(f"^(.+)_(?:{direction})$")[0]
        grouped = of.groupby([*OF_PAIR, "measure", "null_kind", named + "_both"], sort=False, dropna=False)
        means = grouped[["value", "null"]].sum(min_count=2) / 2
        found.append(means.rename_axis([*means.index.names[:-1], "statistic"]).reset_index())
    both = pd.concat(found).dropna(subset=["statistic", "value"])
    return both.assign(standard_error=np.nan)


def per_live_unit(rows: pd.DataFrame) -> pd.DataFrame:
    """Shares of subspace match, in which dead units count as unmatched, as shares of the live units.

    Parameters
    ----------
    rows : of pairs

    Returns
    -------
    ``area_live`` and ``similarity_at_…_live``; in ``live`` and ``live_null`` the shares of live units that their values
    and nulls were divided by, the untrained null by its own; and ``share_dead``
    """
    of = rows[rows["measure"] == "subspace_match"]
    counted = of[of["statistic"].isin(COUNTS)]
    live = _share_live(counted, "value").rename("live")
    live_untrained = _share_live(counted[counted["null_kind"] == UNTRAINED], "null").rename("live_null")
    shares = (
        of[of["statistic"].str.match("area$|similarity_at_")].join(live, on=OF_PAIR).join(live_untrained, on=OF_PAIR)
    )
    shares["live_null"] = shares["live_null"].where(shares["null_kind"] == UNTRAINED, shares["live"])
    shares["statistic"] += "_live"
    shares[["value", "standard_error"]] = shares[["value", "standard_error"]].div(shares["live"], axis="index")
    shares["null"] /= shares["live_null"]
    dead = counted.drop_duplicates(OF_PAIR).join(live, on=OF_PAIR)
    dead = dead.assign(
        statistic=DEAD.statistic, value=1 - dead["live"], standard_error=np.nan, null=np.nan, null_kind=""
    )
    return pd.concat([shares, dead], ignore_index=True)


def _share_live(counted: pd.DataFrame, column: str) -> pd.Series:
    counts = counted.drop_duplicates([*OF_PAIR, "statistic"]).pivot(index=OF_PAIR, columns="statistic", values=column)
    counts = counts.reindex(columns=list(COUNTS))
    return 1 - (counts["n_dead_a"] + counts["n_dead_b"]) / (counts["n_units_a"] + counts["n_units_b"])


def _row(
    network: str, layer: str, measure: str, statistic: str, value: float, standard_error: float = math.nan
) -> dict[str, object]:
    """A row that no summary holds, of all pairs of a trained network, with no null."""
    return {
        "comparison": "trained",
        "pair": f"{network}-all",
        "layer": layer,
        "measure": measure,
        "statistic": statistic,
        "value": value,
        "standard_error": standard_error,
    }


def published_penalties(folder: Path) -> Iterator[dict[str, object]]:
    """Rows of the loss and the number of units at each λ of Li et al. 2016."""
    paths = sorted(folder.glob("*-final--*-final.zarr"))
    opened = [store.read(path, "measure").layers for path in paths]
    for layer, first in opened[0].items():
        for i, penalty in enumerate(first["li2016_lambda"].values):
            for name in ("loss", "n_nonzero"):
                values = [np.mean([layers[layer][f"li2016_{name}_{d}"][i] for d in BOTH]) for layers in opened]
                found = tables.over_seeds([path.stem for path in paths], np.array(values))
                yield _row(SMALL, layer, "sparse_prediction", f"li2016_{name}_at_{penalty:.3g}", *found)


def spectra(folder: Path) -> Iterator[dict[str, object]]:
    """Rows of the mean activation of the top and of the median unit: of the network with the least, and the most."""
    opened = [store.read(path, "measure").layers for path in sorted(folder.glob(f"{SMALL}-*-final.zarr"))]
    for layer in opened[0]:
        means = [layers[layer]["mean"].values for layers in opened]
        for name, of in {"top": np.max, "median": np.median}.items():
            for extreme, value in {"least": min(map(of, means)), "most": max(map(of, means))}.items():
                yield _row(SMALL, layer, "statistics", f"mean_of_{name}_{extreme}", value)


def ridges(folder: Path) -> Iterator[dict[str, object]]:
    """Rows of the mean over ε at each ridge, dead units as unmatched."""
    for network in (SMALL, RESNET):
        paths = sorted(folder.glob(f"{network}-*-final--{network}-*-final.zarr"))
        opened = [store.read(path, "measure").layers for path in paths]
        for layer, first in opened[0].items():
            for i, ridge in enumerate(first["ridge"].values):
                values = np.array([float(layers[layer]["area_ridge"][i]) for layers in opened])
                found = tables.over_seeds([path.stem for path in paths], values)
                yield _row(network, layer, "subspace_match", f"area_at_ridge_{ridge:.0e}", *found)


def collect(results: Path) -> None:
    """Write all that the page cites."""
    for experiment in (LI, WANG, ACROSS):
        folder = results / experiment
        rows = compact(tables.read(folder / "tables" / "summary.csv"))
        if experiment == LI:
            penalties = published_penalties(folder / "measures" / "sparse_prediction")
            rows = pd.concat([rows, pd.DataFrame([*penalties, *spectra(folder / "measures" / "statistics")])])
        if experiment == WANG:
            rows = pd.concat([rows, pd.DataFrame(ridges(folder / "measures" / "subspace_match"))])
        rows.to_csv(HERE / f"{experiment}.csv", index=False, float_format=f"%.{DIGITS}g")
        shutil.copy(folder / "tables" / "reading.rst", HERE / f"{experiment}.rst")
    for drawn, figures in FIGURES.items():
        experiment, comparison, networks = drawn.split("/")
        for figure in figures:
            picture = Image.open(results / experiment / "figures" / comparison / networks / f"{figure}.png")
            picture.thumbnail(PIXELS)
            picture.convert("RGB").save(HERE / f"{networks}_{figure}.webp", quality=90)
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python docs/findings/collect.py RESULTS")
    collect(Path(sys.argv[1]))
