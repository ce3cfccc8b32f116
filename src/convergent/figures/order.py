"""The order in which figures show the units of a pair: one-to-one partners stand on the diagonal."""

import numpy as np
import xarray as xr


def matched(matching: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the units of A, best match first, then the rest; and of B in the order of their partners."""
    r = matching["r_one_to_one_a"].values
    rows = np.argsort(-np.nan_to_num(r, nan=-2.0), kind="stable")
    position = {label: i for i, label in enumerate(matching["unit_b"].values)}
    partners = [position[p] for p in matching["partner_one_to_one_a"].values[rows] if p in position]
    rest = [i for i in range(matching.sizes["unit_b"]) if i not in set(partners)]
    return rows, np.array(partners + rest)
