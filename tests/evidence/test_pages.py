"""The pages hold what the tables hold."""

import re

import pytest
from intertwine.analysis.reports.captions import CAPTIONS

from evidence import ROOT
from evidence.collect import crossed
from evidence.write import PAGES, render

TABLE_LINE = re.compile(r"^\|(.*)\|$", re.M)


def tables(text):
    """Cells of every line of a table, without padding."""
    lines = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in TABLE_LINE.findall(text)]
    return [cells for cells in lines if not all(re.fullmatch(r":?-+:?", cell) for cell in cells)]


def numbers(text):
    """Numbers of the prose, in order."""
    return re.findall(r"\d+(?:[.,]\d+)*", TABLE_LINE.sub("", text))


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_the_numbers_of_the_tables(page):
    again, committed = render(page), (ROOT / page).read_text()
    assert tables(again) == tables(committed), "run `python -m evidence`"
    assert numbers(again) == numbers(committed), "run `python -m evidence`"
    assert "nan" not in {cell for line in tables(again) for cell in line}


def test_the_gallery_has_the_captions_of_the_code():
    page = (ROOT / "figures" / "gallery.md").read_text()
    for name, caption in CAPTIONS.items():
        assert f"## {name}\n" in page
        assert caption in page, f"{name}: run `python -m evidence`"


def test_the_readme_has_the_numbers_of_the_tables():
    text = " ".join((ROOT / "README.md").read_text().split())
    excess = crossed.means("crossed-digits", "mediation_excess").drop("simclr-clean")
    together = crossed.means("crossed-digits", "mediation_excess", "together").drop("simclr-clean")
    mixing = crossed.means("crossed-digits", "smaller_side_mixing").max()
    assert f"Mean mixing is at most {mixing:.3f} of 1".replace(" 0.", " .") in text
    assert f"subspace is {excess.min():.2f} to {excess.max():.2f} in five".replace(" 0.", " .") in text
    assert f"would read {together.min():.2f} to {together.max():.2f}.".replace(" 0.", " .") in text
    assert f"SimCLR's clean poison worked in {crossed.counts('crossed-digits', 'simclr-clean')}," in text


def test_the_page_of_evidence_is_short_and_begins_with_the_answer():
    text = (ROOT / "docs" / "evidence.md").read_text()
    assert len(text.splitlines()) <= 250
    answer = text.partition("## The answer\n")[2].partition("\n![")[0]
    assert len(re.findall(r"^\d\. ", answer, re.M)) == 5
    assert re.findall(r"^## (.*)", text, re.M)[0] == "The answer"
    assert "every verdict of our first studies is void" in answer
