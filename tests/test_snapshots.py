"""Names of snapshots and pairs, read back."""

import pytest

from convergent import snapshots


@pytest.mark.parametrize(
    ("name", "network", "trainings", "stages"),
    [
        ("net_s-s10-epoch5", "net_s", {"net_s-s10"}, ("epoch5",)),
        ("net_s-s0-final--net_s-s1-final", "net_s", {"net_s-s0", "net_s-s1"}, ("final", "final")),
        ("net_s-s0-init--net_s-s0-final", "net_s", {"net_s-s0"}, ("init", "final")),
        ("net-s0-final--net_s-s0-final", "net--net_s", {"net-s0", "net_s-s0"}, ("final", "final")),
    ],
)
def test_names_of__a_pair_or_snapshot(name: str, network: str, trainings: set[str], stages: tuple[str, ...]) -> None:
    assert snapshots.network_of(name) == network
    assert snapshots.trainings_of(name) == trainings
    assert snapshots.stages_of(name) == stages
