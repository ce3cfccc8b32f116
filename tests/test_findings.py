"""docs/findings.md says what the committed tables say, and nothing else."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "findings.md"
# A number that was measured: with decimals, or a share. Whole numbers count seeds, layers and epochs.
NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?(?:e-?\d+)? ?%|(?<![\w.])\d+\.\d+")


def _numbers(text: str) -> set[str]:
    return {number.replace(" ", "") for number in NUMBER.findall(text)}


def _tables(text: str) -> str:
    """Those made from the committed results, and the published ones."""
    made = re.findall(r"<!-- \w+ -->\n(.*?)<!-- end -->", text, flags=re.DOTALL)
    published = re.findall(r"^Published.*?\n\n((?:\|.*\n)+)", text, flags=re.DOTALL | re.MULTILINE)
    return "\n".join([*made, *published])


def _uncited(section: str, page: str = "") -> set[str]:
    """Numbers in the words of a section that stand in none of its tables, or of the page's where it has none."""
    words = re.sub(r"<!-- \w+ -->\n.*?<!-- end -->|\[[^]]*\]\([^)]*\)|`[^`]*`", "", section, flags=re.DOTALL)
    return _numbers(words) - _numbers(_tables(section) or _tables(page))


def test_page__has_the_tables_of_the_committed_results() -> None:
    text = PAGE.read_text(encoding="utf-8")
    page = runpy.run_path(str(ROOT / "docs" / "findings" / "collect.py"))["page"]
    assert page(text) == text


@pytest.mark.parametrize("section", re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:])
def test_page__cites_in_words_what_stands_in_the_tables_of_the_section(section: str) -> None:
    assert not _uncited(section, PAGE.read_text(encoding="utf-8"))


def test_uncited__finds_a_number_that_stands_in_no_table() -> None:
    table = "<!-- a -->\n| 0.44 ± 0.01 | 12% |\n<!-- end -->\n"
    words = "They match by 0.44 of 5 layers, [here](1.5), 12 % or 3%, not 0.45.\n| 0.46 |\n"
    published = "Published:\n\n| 0.46 |\n"
    assert _uncited(table + words) == {"0.45", "0.46", "3%"}
    assert _uncited(table + words + published) == {"0.45", "3%"}
    assert _uncited("0.44 and 0.43", table) == {"0.43"}


def test_page__shows_pictures_that_are_there() -> None:
    shown = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert shown
    missing = [path for path in shown if not (PAGE.parent / path).is_file()]
    unused = {path.name for path in (PAGE.parent / "findings").glob("*.png")} - {Path(path).name for path in shown}
    assert not missing
    assert not unused
