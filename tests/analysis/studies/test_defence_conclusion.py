"""Verdicts, figures and page of a study of defences come from its table alone."""

import pytest
from intertwine.analysis.results.table import write_rows
from intertwine.analysis.studies.defence_conclusion import conclude_defences
from intertwine.representations.errors import InputError

from tests.analysis.defence_rows import ARMS, defence_study, defended, detected, inspected, treated
from tests.analysis.schema_checks import must_name_tables
from tests.factories import row, table


def test_page_and_figures_from_the_table_alone(tmp_path, unsaved):
    write_rows(defence_study(lambda arm: (0.9, 0.5), seeds=2), tmp_path / "defences.csv")
    written = conclude_defences(tmp_path)
    names = {path.relative_to(tmp_path).as_posix() for path in written}
    assert {
        "claims_c5.csv",
        "predicates_c5.json",
        "defences.md",
        "report.html",
        "figures/map-digits-share0.5.pdf",
        "figures/roc-digits-share0.5-1col.png",
    } <= names
    assert must_name_tables(written) == {"claims_c5.csv"}
    page = (tmp_path / "defences.md").read_text()
    for title in ("C5", "Detection", "Mitigation", "What they need", "Cost"):
        assert f"## {title}" in page
    assert "## Inspection" not in page, "nothing was inspected"
    explored = (tmp_path / "report.html").read_text()
    for name in ("verdicts", "claims", "detection", "mitigation", "needs", "cost"):
        assert f'<h2 id="{name}">' in explored
    assert '<h2 id="inspection">' not in explored
    assert "<dt>Recipe</dt><dd>digits</dd>" in explored
    assert "<dt>Trigger</dt>" not in explored, "the table does not have it"
    for image in page.split("](")[1:]:
        assert (tmp_path / image.partition(")")[0]).is_file()


def test_without_rows_of_defences_there_is_nothing_to_conclude(tmp_path):
    write_rows(table(row("byol-clean/seed0", "cka", 0.5)), tmp_path / "defences.csv")
    with pytest.raises(InputError, match=r"defences: .* has no rows of defences in its defences\.csv"):
        conclude_defences(tmp_path)


@pytest.mark.parametrize("kind", ["detectors", "clean", "inspections", "mitigations", "badencoder"])
def test_a_page_of_one_kind_alone(tmp_path, kind, unsaved):
    rows = {
        "detectors": detected("simclr-clean", 0, "scan", 0.9, "pseudo"),
        "clean": [defended("supervised-benign", 0, "detection_fpr", 0.1, "scan", share=0.0)],
        "inspections": inspected("simclr-clean", 0, "decree", flagged=1.0, score=1.0),
        "mitigations": [
            line for arm in ARMS for name in ("none", "luminance") for line in treated(arm, 0, name, 0.9, 0.9)
        ],
        "badencoder": [
            *(line for name in ("none", "clp") for line in treated("badencoder", 0, name, 0.9, 0.9, share=0.0)),
            defended("badencoder", 0, "detection_fpr", 0.1, "scan", share=0.0),
        ],
    }[kind]
    write_rows(table(*rows), tmp_path / "defences.csv")
    conclude_defences(tmp_path)
    page = (tmp_path / "defences.md").read_text()
    assert page.startswith("# Defences")
    answer = (tmp_path / "report.html").read_text().partition('<p class="answer">In short: ')[2].partition("</p>")[0]
    if kind == "mitigations":
        assert answer.startswith("that defences do less against contrastive backdoors is, for detection, ")
        assert answer.endswith("; for mitigation, not evaluable (2 of 2).")
    elif kind == "badencoder":
        assert answer == "mitigations repair 0 of 1 encoders whose attack works."
    else:
        assert answer == "no mitigation was tried on an encoder whose attack works."
    assert ("## C5" in page) == (kind == "mitigations"), "an attack on the model is no way of learning"
