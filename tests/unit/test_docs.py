"""The pages that are shipped agree with the code and with each other."""

import re
from pathlib import Path

import pytest

from reference import DOCS, store_page

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]


def test_store_page__is_made_from_the_schema() -> None:
    assert (DOCS / "store.md").read_text(encoding="utf-8") == store_page(), "run python tests/reference.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links__lead_to_files_that_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tests_that_pages_name__exist(page: Path) -> None:
    named = re.findall(
        r"`((?:fault|integration|property|unit)/test_\w+\.py)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if not (ROOT / "tests" / name).exists()] == []


def test_readme__is_short() -> None:
    assert len(PAGES[0].read_text(encoding="utf-8").splitlines()) < 200
