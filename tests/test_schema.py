"""The contract: what every kind of store holds, refused by name when it is broken."""

import numpy as np
import pytest
import xarray as xr

from convergent import schema
from convergent.errors import InputError

DTYPES = {"f": np.dtype("float32"), "i": np.dtype("int64"), "T": np.dtypes.StringDType()}


def smallest(kind: str) -> xr.Dataset:
    """A dataset that keeps the contract of a kind of store, every dimension of length 2."""
    variables = {
        name: ([dim.replace("…", "position") for dim in dims], np.zeros((2,) * len(dims), DTYPES[dtype]))
        for name, (dims, dtype) in schema.CONTRACTS[kind].items()
    }
    return xr.Dataset(variables).set_coords([name for name in schema.IMAGES if kind in schema.OF_IMAGES])


VARIABLES = [(kind, name) for kind, contract in schema.CONTRACTS.items() for name in contract]


@pytest.mark.parametrize("kind", schema.CONTRACTS)
def test_check__accepts_what_keeps_the_contract_and_more(kind: str) -> None:
    schema.check(smallest(kind).assign(more=("extra", np.ones(3))), kind, "here")


@pytest.mark.parametrize(("kind", "name"), VARIABLES)
def test_check__refuses_a_missing_variable(kind: str, name: str) -> None:
    with pytest.raises(InputError, match=f"^here: a store of {kind} needs the variable '{name}'; there are "):
        schema.check(smallest(kind).drop_vars(name), kind, "here")


@pytest.mark.parametrize(("kind", "name"), VARIABLES)
def test_check__refuses_other_dimensions(kind: str, name: str) -> None:
    dataset = smallest(kind)
    dataset[name] = dataset[name].expand_dims("extra")
    with pytest.raises(InputError, match=rf"^here: {name} has dimensions \('extra', .*\), not \("):
        schema.check(dataset, kind, "here")


@pytest.mark.parametrize(("kind", "name"), VARIABLES)
def test_check__refuses_another_type(kind: str, name: str) -> None:
    dataset = smallest(kind)
    dataset[name] = xr.zeros_like(dataset[name], dtype=bool)
    with pytest.raises(InputError, match=f"^here: {name} is of type bool, not of kind"):
        schema.check(dataset, kind, "here")


@pytest.mark.parametrize(
    ("dims", "right"),
    [
        (("image", "unit"), True),
        (("image", "position", "unit"), True),
        (("image", "y", "x", "unit"), True),
        (("image", "y", "unit"), False),
        (("image", "position", "x", "unit"), False),
        (("unit", "image"), False),
        (("image", "unit", "y", "x"), False),
    ],
)
def test_check__takes_activations_of_all_positions_of_a_sample_or_of_none(dims: tuple[str, ...], right: bool) -> None:
    dataset = smallest("activations").drop_vars("activation")
    size = dataset.sizes["image"]
    dataset["activation"] = (dims, np.zeros((size,) * len(dims), "float16"))
    if right:
        schema.check(dataset, "activations", "here")
    else:
        with pytest.raises(
            InputError,
            match=r"not \('image', 'position', 'unit'\) or \('image', 'unit'\) or \('image', 'y', 'x', 'unit'\)",
        ):
            schema.check(dataset, "activations", "here")


def test_check__takes_unsigned_integers_for_integers() -> None:
    dataset = smallest("moments_within")
    schema.check(dataset.assign(n=dataset["n"].astype("uint32")), "moments_within", "here")


@pytest.mark.parametrize("kind", schema.OF_IMAGES)
@pytest.mark.parametrize("name", schema.IMAGES)
def test_check__refuses_a_label_of_images_that_is_no_coordinate(kind: str, name: str) -> None:
    with pytest.raises(InputError, match=f"^here: {name} is to be a coordinate of the images"):
        schema.check(smallest(kind).reset_coords(name), kind, "here")


@pytest.mark.parametrize(("kind", "dim"), [("activations", "image"), ("pooled", "unit"), ("moments_within", "fold")])
def test_check__refuses_what_is_empty(kind: str, dim: str) -> None:
    with pytest.raises(InputError, match=f"^here: .* holds no {dim}$"):
        schema.check(smallest(kind).isel({dim: []}), kind, "here")


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, of in schema.ATTRIBUTES.items() for name in of])
def test_check_attributes__names_the_one_that_is_missing_or_of_another_type(kind: str, name: str) -> None:
    right = {other: "1" if of_type is str else 1 for other, of_type in schema.ATTRIBUTES[kind].items()}
    schema.check_attributes(right | {"more": None}, kind, "here")
    wrong: list[dict[str, object]] = [{k: v for k, v in right.items() if k != name}, right | {name: None}]
    wrong.append(right | {name: 1 if right[name] == "1" else -1})
    for attributes in wrong:
        with pytest.raises(InputError, match=f"^here: the attribute {name} of a store of {kind} is a .*, not "):
            schema.check_attributes(attributes, kind, "here")
