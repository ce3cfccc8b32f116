"""Every layer of A with every layer of B on the coarser of their grids: CKA, matched r and R², beside the nulls."""

from matplotlib.figure import Figure

from convergent.figures import layer_map, style
from convergent.snapshots import network_of

INDICES = {
    "cka": "linear CKA",
    "r_one_to_one": "mean r one to one",
    "r2_ab": "R² of B's units from A's",
    "r2_ba": "R² of A's units from B's",
}


def draw(stores: style.Stores, untrained: style.Stores) -> Figure:
    """Mean over pairs; a row an index; columns: as they are, the same untrained, and B's images permuted."""
    trained, null = stores["layer_pairs"], untrained.get("layer_pairs", [])
    columns = [(trained, "", style.stage(trained[0]))]
    columns += [(null, "", "untrained")] if null else []
    columns += [(trained, "_permuted", "B's images permuted")]
    width, height = layer_map.size(trained[0])
    size = (width * len(columns) + 0.9, height * len(INDICES) + 0.6)
    figure = Figure(figsize=size, layout="constrained", dpi=150)
    axes = figure.subplots(len(INDICES), len(columns), sharex=True, sharey=True, squeeze=False)
    for of_row, (index, name) in zip(axes, INDICES.items(), strict=True):
        for axis, (opened, suffix, _) in zip(of_row, columns, strict=True):
            image = layer_map.draw(axis, opened, index + suffix)
            axis.label_outer()
        of_row[0].set_ylabel(f"{name}\nlayer of A")
    for axis, (_, _, title) in zip(axes[0], columns, strict=True):
        axis.set_title(title)
    a, b = (network_of(trained[0].attributes[f"snapshot_{side}"]) for side in "ab")
    figure.suptitle(f"A: {a}, B: {b}; pairs: {len(trained)}", fontsize=8)
    figure.colorbar(image, ax=axes.ravel().tolist(), shrink=0.5, label="index")
    return figure
