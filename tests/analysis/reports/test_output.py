"""Figures as files: widths, formats, captions and LaTeX; what is wrong is named before anything is written."""

import pytest
from intertwine import figures
from intertwine.analysis.reports.captions import CAPTIONS
from intertwine.analysis.reports.output import Output, as_latex, caption_of, write_figures
from intertwine.representations.errors import InputError
from matplotlib.figure import Figure

from tests.factories import case


def drawings(seen=None):
    def draw(width, narrow):
        (seen if seen is not None else []).append((width, narrow))
        return Figure(figsize=(width, 1))

    return {"roc-digits": draw, "dynamics": draw}


def test_two_widths_of_the_style_or_the_given_one(tmp_path):
    seen = []
    written = write_figures(drawings(seen), tmp_path, Output(style="usenix", formats=("svg",)), only=["dynamics"])
    assert [path.name for path in written] == ["dynamics.svg", "dynamics-1col.svg"]
    assert seen == [(7.0, False), (3.33, True)]
    seen.clear()
    written = write_figures(drawings(seen), tmp_path / "b", Output(width=4, formats=("png",)), only=["dynamics"])
    assert [path.name for path in written] == ["dynamics.png"]
    assert seen == [(4, True)]


def test_captions_and_latex_stand_beside(tmp_path):
    output = Output(captions=True, latex=True, formats=("pdf",))
    write_figures(drawings(), tmp_path, output, only=["roc-digits"], seeds="Seeds: 5 an arm.")
    assert (tmp_path / "roc-digits.txt").read_text() == f"{CAPTIONS['roc']} Seeds: 5 an arm.\n"
    text = (tmp_path / "roc-digits-1col.tex").read_text()
    assert text.startswith("\\begin{figure}[t]")
    assert "\\includegraphics[width=\\linewidth]{roc-digits-1col}" in text
    assert (tmp_path / "roc-digits.tex").read_text().startswith("\\begin{figure*}[t]")


def test_latex_is_escaped():
    assert "\\caption{95 \\% of a\\_b \\& c, $-$1.}" in as_latex("a", "95 % of a_b & c, −1.", narrow=True)


def test_a_caption_is_found_by_the_first_part_of_the_name():
    assert caption_of("map-digits-share0.5") == CAPTIONS["map"]
    assert caption_of("alignment_map") == CAPTIONS["alignment_map"]


def test_bad_input_is_named_and_nothing_is_written(tmp_path):
    for output, only, said in (
        (Output(style="ieee"), None, "style: expected one of intertwine, usenix, nature, slides, received 'ieee'"),
        (Output(formats=("eps",)), None, "format: expected any of pdf, png, svg, received 'eps'"),
        (Output(formats=()), None, "format: expected any of pdf, png, svg, received none"),
        (Output(), ["arrows"], "only: expected any of roc-digits, dynamics, received arrows"),
        (Output(width=-1), None, "width: expected a positive number of inches, received -1"),
    ):
        with case(said), pytest.raises(InputError, match=said):
            write_figures(drawings(), tmp_path / "out", output, only=only)
        assert not (tmp_path / "out").exists()


def test_a_user_may_draw_in_a_style_of_their_own():
    assert set(figures.STYLES) == {"intertwine", "usenix", "nature", "slides"}
    assert all(style.one_column < style.two_columns and style.tallest <= 7.5 for style in figures.STYLES.values())
