"""The README's first number: its lines of Python print the table below them, and the answer is that of its rows."""

import contextlib
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from intertwine.analysis.reports.answer import answer

README = Path(__file__).parents[1] / "README.md"


def printed(text: str) -> pd.DataFrame:
    """A table of fixed-width text, one line a reading; intervals lose their brackets."""
    lines = [
        re.split(r" {2,}", re.sub(r"\[([^]]*), ([^]]*)\]", r"  \1  \2  ", x).strip()) for x in text.splitlines()[1:]
    ]
    values = [[float("nan") if cell == "–" else float(cell) for cell in " ".join(line[1:]).split()] for line in lines]
    return pd.DataFrame(values, index=[line[0] for line in lines])


@pytest.fixture(scope="module")
def ran():
    """The names that its lines of Python leave, what they print, and the table below them."""
    code, shown = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", README.read_text(), re.S).groups()
    out, names = io.StringIO(), {}
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), names)
    return names, out.getvalue(), shown


def test_the_lines_of_python_print_the_table(ran):
    _, out, shown = ran
    expected, found = printed(shown), printed(out)
    assert found.index.tolist() == expected.index.tolist()
    # Another machine rounds otherwise, and near ties of kNN fall the other way.
    pd.testing.assert_frame_equal(found, expected, atol=0.02, rtol=0.002)


def test_a_table_that_differs_is_noticed():
    table = "reading value\n acc [knn]  0.961   [0.942, 0.974]  0.961   –\n"
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(printed(table), printed(table.replace("0.942", "0.842")), atol=0.02, rtol=0.002)


def numbers_of(text: str) -> tuple[str, list[float]]:
    """An answer without its numbers and strips, and the numbers."""
    number = r"-?\d+\.\d{3}"
    words = re.sub(number, "#", re.sub("[├┤·─│●◉]", "", text))
    return " ".join(words.split()), [float(found) for found in re.findall(number, text)]


def test_the_answer_is_that_of_the_same_rows(ran):
    (expected, values), (found, others) = (
        numbers_of(text)
        for text in (re.search(r"```text\n(.*?)```", README.read_text(), re.S)[1], answer(ran[0]["rows"]))
    )
    assert found == expected
    assert others == pytest.approx(values, abs=0.02)
