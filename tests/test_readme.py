"""The README's lines of Python print what stands below them."""

import contextlib
import io
import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
NUMBER = r"-?\d+\.\d+"


def words(text: str) -> list[str]:
    """What is said, without numbers and without the strips that draw them."""
    return re.findall(r"[A-Za-z]+", re.sub(r"0\.\d+e-\d+", "", text))


def test_ten_lines_of_python_print_what_the_page_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, shown = re.search(r"```python\n(.*?)```\s+```text\n(.*?)```", README.read_text(), re.S).groups()
    assert len([line for line in code.splitlines() if line]) == 10
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "README.md", "exec"), {})
    assert words(out.getvalue()) == words(shown)
    expected, found = ([float(x) for x in re.findall(NUMBER, text)] for text in (shown, out.getvalue()))
    # Another machine rounds otherwise, and near ties of kNN fall the other way.
    assert found == pytest.approx(expected, abs=0.02, rel=0.002)
    assert {p.name for p in tmp_path.iterdir()} == {"readings.pdf", "rows.csv", "cka.pdf", "compared"}
