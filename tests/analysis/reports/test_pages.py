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
    head = {"title": "<i>", "answer": "<b>", "notice": "1 < 2", "facts": [("<dt>", "<dd>")], "contents": [("a", "<a>")]}
    maps = {"b": "</script>", "a": 1}
    page = render("page.html.j2", **head, maps=maps, symbols={}, body="<p>").decode()
    for shown in ("1 &lt; 2", "&lt;b&gt;", "&lt;i&gt;", "&lt;dt&gt;", "&lt;dd&gt;", "&lt;a&gt;", "&lt;p&gt;"):
        assert shown in page
    assert '{"b":"\\u003c/script\\u003e","a":1}' in page, "in the given order"


def test_every_measure_and_subset_has_a_label():
    assert set(MEASURES) | set(SUBSETS) <= set(LABELS)
    assert not [label for label in LABELS.values() if "_" in label]


def test_captions_are_one_paragraph_of_sentences():
    for name, caption in CAPTIONS.items():
        assert caption.endswith("."), name
        assert "\n" not in caption, name
