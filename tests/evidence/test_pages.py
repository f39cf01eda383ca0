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
    digits, natural = crossed.CROSSED

    def short(value, digits):
        return f"{value:.{digits}f}".removeprefix("0")

    largest = (short(crossed.means(study, "smaller_side_mixing").max(), 3) for study in (digits, natural))
    assert "at most {} of 1 on digits and {} on CIFAR-10".format(*largest) in text
    carried = {arm: short(value, 2) for arm, value in crossed.means(natural, "mediation_excess").items()}
    assert f"is {carried['supervised-dirty']} (dirty) and {carried['supervised-clean']} (clean) on CIFAR-10" in text
    assert f"and {carried['simclr-dirty']} and {carried['simclr-clean']} for SimCLR" in text
    worked = (crossed.counts(study, "simclr-clean") for study in (digits, natural))
    assert "SimCLR's clean poison worked in {} and {}.".format(*worked) in text


def test_the_page_of_evidence_is_short_and_begins_with_the_answer():
    text = (ROOT / "docs" / "evidence.md").read_text()
    assert len(text.splitlines()) <= 250
    answer = text.partition("## The answer\n")[2].partition("\n![")[0]
    assert len(re.findall(r"^\d\. ", answer, re.M)) == 5
    assert re.findall(r"^## (.*)", text, re.M)[0] == "The answer"
    assert "every verdict of our first studies is void" in answer
