"""Pages are rendered from templates: nothing missing, nothing that ends a script."""

import pandas as pd
import pytest
from intertwine.analysis.reports.captions import CAPTIONS
from intertwine.analysis.reports.labels import LABELS
from intertwine.analysis.reports.pages import render
from intertwine.analysis.results.measures import MEASURES
from intertwine.analysis.results.schema import SUBSETS
from jinja2 import UndefinedError

POINTS = [("0.1", pd.DataFrame({"claim": ["C3"]}), pd.DataFrame({"reading": ["asr"]}))]


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(UndefinedError, match="'caption' is undefined"):
        render("grid.md.j2", field="poison_fraction", points=POINTS)


def test_markdown_is_not_escaped_and_tables_are_rendered():
    page = render("grid.md.j2", field="poison_fraction", points=POINTS, caption="ASR < 1").decode()
    assert page.startswith("# Along the poison fraction\n")
    assert "*ASR < 1*" in page
    assert "## poison_fraction 0.1\n\n| claim |\n|---|\n| C3 |\n" in page


def test_html_is_escaped_and_data_cannot_end_the_script():
    given = {
        "claims": (),
        "in_short": [],
        "cautions": ["<b>"],
        "readings": pd.DataFrame({"arm": ["<i>"]}),
        "defences": [],
    }
    page = render("interactive.html.j2", notice="1 < 2", data={"b": "</script>", "a": 1}, plotly="", **given).decode()
    assert "1 &lt; 2" in page
    assert "<li>&lt;b&gt;</li>" in page
    assert "<td>&lt;i&gt;</td>" in page
    assert '{"b":"\\u003c/script\\u003e","a":1}' in page, "in the given order"


def test_every_measure_and_subset_has_a_label():
    assert set(MEASURES) | set(SUBSETS) <= set(LABELS)
    assert not [label for label in LABELS.values() if "_" in label]


def test_captions_are_one_paragraph_of_sentences():
    for name, caption in CAPTIONS.items():
        assert caption.endswith("."), name
        assert "\n" not in caption, name
