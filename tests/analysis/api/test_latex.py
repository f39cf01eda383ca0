"""Tables as LaTeX."""

import pandas as pd
from intertwine.analysis.api.latex import booktabs


def test_text_is_escaped_and_numbers_are_right_aligned():
    table = pd.DataFrame({"a_b": ["x & y", "50 %"], "value": ["0.1", "–"], "interval": ["[0, 1]", "–"]})
    head, _, titles, _, first, second, *_ = booktabs(table).splitlines()
    assert head == r"\begin{tabular}{lrl}"
    assert titles == r"a\_b & value & interval \\"
    assert first == r"x \& y & 0.1 & [0, 1] \\"
    assert second == r"50 \% & -- & -- \\"
    assert (
        booktabs(pd.DataFrame({"a": ["\\x{~^"]})).count(r"\textbackslash{}x\{\textasciitilde{}\textasciicircum{}") == 1
    )
