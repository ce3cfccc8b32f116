"""Small text files: read without a trust in what they hold, and told in one line where they are damaged."""

import json
from pathlib import Path
from typing import Any

import yaml

from convergent import provenance
from convergent.errors import InputError

SEAL = "digest"


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which PyYAML takes the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise yaml.constructor.ConstructorError(None, None, f"{twice[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The plain values of a YAML file; tags that would build objects are refused, and keys that stand twice.

    Raises
    ------
    InputError : where there is no such file, or it is not YAML
    """
    try:
        return yaml.load(_text(path), _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: of a date that does not exist
        raise InputError(f"{path}: not YAML: {' '.join(str(error).split())}") from None


def read_json(path: Path, *needed: str) -> dict[str, Any]:
    """The object of a JSON file that a step has written.

    Parameters
    ----------
    path : the file
    needed : keys that it must have

    Raises
    ------
    InputError : where there is no such file, or it holds no object with these keys
    """
    try:
        content = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON: {error}; make it anew") from None
    if not isinstance(content, dict) or not content.keys() >= set(needed):
        raise InputError(f"{path}: not an object with {', '.join(needed)}; make it anew")
    return content


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write an object beside the path and rename it: Snakemake reads it too, and must never find half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(path)


def read_sealed(path: Path, *needed: str) -> dict[str, Any]:
    """The object that `write_sealed` has written.

    Parameters
    ----------
    path : the file
    needed : keys that it must have

    Raises
    ------
    InputError : as `read_json`, and where the object is another one
    """
    content = read_json(path, *needed)
    if content.pop(SEAL, None) != provenance.digest(content):
        raise InputError(f"{path}: not what it was finished with; make it anew")
    return content


def write_sealed(content: dict[str, Any], path: Path) -> None:
    """Write an object as `write_json` does, with a digest of it, so that a change is noticed."""
    write_json(content | {SEAL: provenance.digest(content)}, path)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        raise InputError(f"{path}: not to be read: {error.strerror}") from None
