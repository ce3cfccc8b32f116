"""The command line: every step tells its arguments, and a user's mistake is one line."""

import subprocess
import sys
from pathlib import Path

import pytest

from convergent.__main__ import SPINS, STEPS, main

NAMES = sorted(path.stem for path in STEPS.glob("[a-z]*.py"))
STATISTICS = ["within", "between", "statistics", "correlation", "matching", "sparse_prediction", "clustering"]
STATISTICS += ["exemplars", "summary", "figure"]
PAIR = ["--a", "a.zarr", "--b", "b.zarr", "--between", "c.zarr", "--output", "d.zarr"]


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(STEPS.parents[1]), "PATH": ""}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_main__lists_every_step_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split()[0] for line in lines] == NAMES
    assert all(line.endswith(".") and len(line) < 140 for line in lines)


@pytest.mark.parametrize("arguments", [[], ["matchin"], ["_pair"]])
def test_main__lists_the_steps_for_an_unknown_one(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    told = capsys.readouterr()
    assert not told.out
    assert all(f"\n  {name} " in told.err for name in NAMES)


@pytest.mark.parametrize("step", NAMES)
def test_main__tells_the_arguments_of_a_step(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([step, "--help"])
    assert stopped.value.code == 0
    told = capsys.readouterr().out
    assert f"usage: python -m convergent {step} " in told
    assert sys.modules[f"convergent.steps.{step}"].__doc__.split(".")[0][:60] in " ".join(told.split())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["correlation", *PAIR], "correlation: a.zarr: there is no such store; run the step that writes it"),
        (
            ["matching", *PAIR, "--settings", '{"rotations": 1, "permutations": 9}'],
            "matching: settings: rotations: 1 is below 2",
        ),
        (
            ["matching", *PAIR, "--settings", '{"rotation": 2, "rotations": 2, "permutations": 9}'],
            "matching: settings: unknown key 'rotation'; the keys are rotations, permutations; did you mean rotations?",
        ),
    ],
)
def test_main__tells_a_mistake_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == f"convergent {expected}"
    assert not list(tmp_path.iterdir())


def test_main__ends_with_one_line_and_exit_code_1_for_a_mistake(tmp_path: Path) -> None:
    done = python("-m", "convergent", "correlation", *PAIR, folder=tmp_path)
    told = "convergent correlation: a.zarr: there is no such store; run the step that writes it\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", told)


@pytest.mark.parametrize(
    "arguments",
    [
        ["matching", *PAIR, "--settings", "absent.yaml"],
        ["matching", *PAIR, "--settings", "{'rotations': 2"],
        ["figure", "--figure", "nothing", "--stores", "a.zarr", "--output", "a.png"],
    ],
)
def test_main__stops_for_a_mistaken_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code


def loaded(tmp_path: Path, modules: list[str], heavy: list[str]) -> str:
    """Which of some libraries a fresh Python holds after importing some modules."""
    code = f"import sys, {', '.join(modules)}; print(*({{*{heavy!r}}} & {{*sys.modules}}))"
    done = python("-c", code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_steps__of_statistics_take_no_torch(tmp_path: Path) -> None:
    modules = [f"convergent.steps.{step}" for step in STATISTICS]
    assert loaded(tmp_path, modules, ["torch", "torchvision"]) == ""


def test_main__imports_no_step_and_no_library_by_itself(tmp_path: Path) -> None:
    heavy = ["convergent.steps", "numpy", "xarray", "torch", "zarr", "dask", "matplotlib", "yaml"]
    assert loaded(tmp_path, ["convergent.__main__"], heavy) == ""


def test_snakefile__takes_no_scientific_library(tmp_path: Path) -> None:
    heavy = ["numpy", "pandas", "xarray", "torch", "zarr", "dask"]
    assert loaded(tmp_path, ["convergent.experiments", "convergent.provenance"], heavy) == ""


@pytest.mark.parametrize(("given", "expected"), [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_main__has_threads_wait_briefly_unless_told_otherwise(given: dict[str, str], expected: str) -> None:
    """As OpenMP itself tells when it is loaded."""
    environment = {"PYTHONPATH": str(STEPS.parents[1]), "PATH": "", "OMP_DISPLAY_ENV": "verbose"} | given
    command = [sys.executable, "-m", "convergent", "train", "--help"]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stderr
    assert f"GOMP_SPINCOUNT = '{expected}'" in told
