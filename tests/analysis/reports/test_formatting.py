"""Numbers, intervals and tables as text."""

import math

import pandas as pd
from intertwine.analysis.reports.formatting import interval, markdown, number, over_seeds, plain, probability, prose

TABLE = pd.DataFrame({"reading": ["a|b", "**c** <d>"], "value": ["1e5", "–"], "because": ["x" * 80, ""]})


def test_numbers_have_three_decimals_and_no_negative_zero():
    assert [number(v) for v in (0.12345, -0.0001, math.nan, math.inf, -math.inf)] == ["0.123", "0.000", "–", "∞", "–"]


def test_a_p_is_never_printed_as_zero():
    assert [probability(p) for p in (2e-4, 1e-3, 0.0304, 1.0, math.nan)] == ["< 0.001", "0.001", "0.030", "1.000", "–"]


def test_an_interval_needs_both_limits():
    assert interval(-0.1, 0.25) == "[-0.100, 0.250]"
    assert interval(math.nan, 0.25) == interval(0.1, math.inf) == "–"
    assert over_seeds(pd.Series([0.3])) == "–"
    assert over_seeds(pd.Series([0.3, 0.3, 0.3])) == "[0.300, 0.300]"


def test_markdown_leaves_text_as_it_is():
    assert markdown(TABLE).splitlines() == [
        "| reading | value | because |",
        "|---|---|---|",
        f"| a\\|b | 1e5 | {'x' * 80} |",
        "| **c** <d> | – |  |",
    ]


def test_prose_keeps_html_as_text():
    page = prose("- `a|b`: <script> & **c**\n- [d](rows.csv), [e](javascript:alert)")
    assert page == (
        "<ul>\n<li><code>a|b</code>: &lt;script&gt; &amp; <strong>c</strong></li>\n"
        '<li><a href="rows.csv">d</a>, [e](javascript:alert)</li>\n</ul>\n'
    )
    assert plain("**all** of *a*") == "all of *a*"
