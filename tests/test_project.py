"""The project's own files: requirements told once, no address or path of one machine, rules of one form."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from convergent.steps.figure import FIGURES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "convergent"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIRED = {Requirement(text).name: text for text in PROJECT["dependencies"]}
LOCKED = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
DISTRIBUTIONS = {"sklearn": "scikit-learn", "yaml": "pyyaml", "dask_ml": "dask-ml", "mpl_toolkits": "matplotlib"} | {
    "array_api_compat": "array-api-compat",
    "google_crc32c": "google-crc32c",
    "PIL": "pillow",
}
# What the engine `cuda` imports when it is asked for: the extra `gpu`.
OPTIONAL = {"cupy": "cupy-cuda13x", "dask_cuda": "dask-cuda"}
# What a library imports only when it is asked for something that we ask for: certificates.
THROUGH = {"distributed": {"cryptography"}}
OF_USERS = {"plan"}  # steps without a rule
# One rule of a .smk file: its name and everything up to the next.
RULES = {
    name: text
    for path in sorted((ROOT / "rules").glob("*.smk"))
    for name, text in re.findall(r"^rule (\w+):\n(.*?)(?=^\w|\Z)", path.read_text(encoding="utf-8"), re.M | re.S)
}


def environment(name: str) -> list[str]:
    """The requirements of a conda environment that pip installs."""
    dependencies = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text(encoding="utf-8"))["dependencies"]
    return next(entry["pip"] for entry in dependencies if isinstance(entry, dict))


@cache
def imports(path: Path) -> frozenset[str]:
    """Dotted names of everything that a module imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return frozenset(found)


def reached(path: Path, seen: set[Path] | None = None) -> Iterator[str]:
    """Libraries that a module imports, itself or by others of the package."""
    seen = set() if seen is None else seen
    seen.add(path)
    for name in imports(path):
        top, *rest = name.split(".")
        if top != "convergent":
            yield top
            continue
        local = next(
            file
            for n in (len(rest), len(rest) - 1)
            for file in (PACKAGE.joinpath(*rest[:n]).with_suffix(".py"), PACKAGE.joinpath(*rest[:n], "__init__.py"))
            if file.is_file()
        )
        if local not in seen:
            yield from reached(local, seen)


def libraries(step: str) -> set[str]:
    """Distributions that a step needs; those of figures too, which the step `figure` imports by name."""
    paths = [PACKAGE / "steps" / f"{step}.py", *(PACKAGE.glob("figures/[a-z]*.py") if step == "figure" else ())]
    tops = {top for path in paths for top in reached(path)} - {*sys.stdlib_module_names} - OPTIONAL.keys()
    return {DISTRIBUTIONS.get(top, top) for top in tops}.union(*(THROUGH.get(top, set()) for top in tops))


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "envs").glob("*.yaml")))
def test_envs__ask_for_what_the_project_asks_for(name: str) -> None:
    listed = environment(name)
    assert set(listed) <= set(REQUIRED.values())
    content = yaml.safe_load((ROOT / "envs" / f"{name}.yaml").read_text(encoding="utf-8"))
    assert f"python {PROJECT['requires-python']}" in content["dependencies"]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_envs__hold_what_the_step_of_a_rule_imports(rule: str) -> None:
    name = re.search(r"envs/(\w+)\.yaml", RULES[rule])[1]
    held = {Requirement(text).name for text in environment(name)}
    assert libraries(rule) <= held
    assert (name == "torch") == ("torch" in libraries(rule))


def test_dependencies__are_all_imported_and_all_imports_are_dependencies() -> None:
    needed = set().union(*(libraries(path.stem) for path in PACKAGE.glob("steps/[a-z]*.py")))
    assert needed <= set(REQUIRED)
    assert set(REQUIRED) - needed <= {"snakemake", "dask-ml"}  # dask-ml is what tests compare with


def test_gpu__is_the_extra_of_what_its_engine_imports() -> None:
    assert {Requirement(text).name for text in PROJECT["optional-dependencies"]["gpu"]} == {*OPTIONAL.values()}


@pytest.mark.parametrize("rule", sorted(RULES))
def test_rules__are_one_command_with_the_digest_of_its_step(rule: str) -> None:
    text = RULES[rule]
    assert re.match(r'    """[A-Z].+[.]"""\n', text)
    # Training depends on the file of inspect: only what decides the graph of the network may make that anew.
    expected = [] if rule == "inspect" else [rule]
    assert re.findall(r"code_digest\(\"steps\.(\w+)\"", text) == expected
    assert ("identity=identity" in text) == (rule == "inspect")
    assert re.search(rf'shell:\n        "python -m convergent {rule}[ "]', text)
    assert text.rstrip().endswith('> {log} 2>&1"')
    for section in ("output", "log", "benchmark", "conda", "threads", "resources", "params"):
        assert re.search(rf"^    {section}:", text, re.M), section
    assert "mem_mb=" in text
    assert "runtime=" in text


def test_rules__are_as_many_as_the_steps() -> None:
    assert set(RULES) == {path.stem for path in PACKAGE.glob("steps/[a-z]*.py")} - OF_USERS


def test_profile__has_engines_to_uncomment_that_their_rules_take() -> None:
    text = (ROOT / "profiles" / "slurm" / "config.yaml").read_text(encoding="utf-8")
    found = {}
    for said, block in re.findall(r"Also for ((?:.*\n)+?)(  # between:\n(?:  #   .*\n)+)", text):
        resources = yaml.safe_load(text.replace(block, block.replace("  # ", "  ")))["set-resources"]
        found[resources["between"].pop("engine")] = resources
        named = re.findall(r"\w+", said.partition(".")[0])
        assert len(named) > 3
        for rule in {*named, "between"} - {"and"}:
            assert re.search(r"^        engine=", RULES[rule], re.M), rule
    assert set(found) == {"slurm", "cuda"}
    assert found["cuda"]["between"] == found["cuda"]["train"]
    assert set(found["slurm"]["between"]) == {"mpi", "nodes", "tasks"}


def test_snakefile__is_a_table_of_contents() -> None:
    lines = (ROOT / "Snakefile").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 60
    assert [line.split()[1] for line in lines if line.startswith("rule ")] == ["all:"]


@pytest.mark.parametrize("line", LOCKED)
def test_lock__has_names_and_versions_only(line: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?(\[[a-z0-9,-]+\])?==[0-9][a-z0-9.+!]*( ; [^/:@]+)?", line)


def test_lock__has_every_dependency_in_a_version_that_is_right() -> None:
    locked = {canonicalize_name((entry := Requirement(line)).name): entry.specifier for line in LOCKED}
    extras = [texts for name, texts in PROJECT["optional-dependencies"].items() if name != "gpu"]
    for wanted in map(Requirement, [*PROJECT["dependencies"], *(text for extra in extras for text in extra)]):
        (version,) = locked[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version.version), wanted


def tracked() -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("not a git repository")
    return [path for name in done.stdout.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize(
    "pattern",
    [
        r"(py|test\.py)pi\.(org|python)|python[h]osted|(index|extra-index)-url\s*=?\s*\w|(ana)?conda\.(org|io|com)",
        r"(?<![\w.~}])/(home|work|root|Users|scratch)/\w",
    ],
    ids=["registry", "path"],
)
def test_files__hold_no_address_of_a_registry_and_no_path_of_one_machine(pattern: str) -> None:
    files = tracked()
    assert ROOT / "Snakefile" in files
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in files
        if (match := re.search(pattern, path.read_text(encoding="utf-8", errors="replace")))
    ]
    assert not found


def test_caption__is_there_for_every_figure() -> None:
    caption = (ROOT / "rules" / "captions" / "figure.rst").read_text(encoding="utf-8")
    captioned = re.findall(r'wildcards\.figure == "(\w+)"', caption)
    assert sorted(captioned) == FIGURES
