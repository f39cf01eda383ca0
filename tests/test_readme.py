"""The README's first number: its lines of Python print the table below them."""

import contextlib
import io
import re
from pathlib import Path

import pandas as pd
import pytest

README = Path(__file__).parents[1] / "README.md"


def printed(text: str) -> pd.DataFrame:
    """A table of fixed-width text, one line a reading; intervals lose their brackets."""
    lines = [
        re.split(r" {2,}", re.sub(r"\[([^]]*), ([^]]*)\]", r"  \1  \2  ", x).strip()) for x in text.splitlines()[1:]
    ]
    values = [[float("nan") if cell == "–" else float(cell) for cell in " ".join(line[1:]).split()] for line in lines]
    return pd.DataFrame(values, index=[line[0] for line in lines])


def test_the_lines_of_python_print_the_table():
    code, shown = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", README.read_text(), re.S).groups()
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    expected, found = printed(shown), printed(out.getvalue())
    assert found.index.tolist() == expected.index.tolist()
    # Another machine rounds otherwise, and near ties of kNN fall the other way.
    pd.testing.assert_frame_equal(found, expected, atol=0.02, rtol=0.002)


def test_a_table_that_differs_is_noticed():
    table = "reading value\n acc [knn]  0.961   [0.942, 0.974]  0.961   –\n"
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(printed(table), printed(table.replace("0.942", "0.842")), atol=0.02, rtol=0.002)
