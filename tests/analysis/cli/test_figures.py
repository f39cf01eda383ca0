"""``intertwine figures``: from rows alone."""

import shutil


def test_figures_come_back_from_rows_alone(compared, run, tmp_path):
    runs, out, *_ = compared
    copies = tmp_path / "runs"
    shutil.copytree(runs, copies)
    code, said, _ = run("figures", copies, "--out", tmp_path / "figures")
    assert code == 0
    for name in ("readings.pdf", "embeddings.png", "alignment-1col.png"):
        assert (tmp_path / "figures" / name).read_bytes() == (out / "figures" / name).read_bytes()
        assert name in said


def test_one_figure_in_a_named_style_with_caption_and_latex(compared, run, tmp_path):
    out = tmp_path / "figures"
    options = ("--only", "readings", "--style", "usenix", "--width", "3.3", "--format", "svg", "--latex")
    code, said, _ = run("figures", compared[0], "--out", out, *options)
    assert code == 0
    assert {path.name for path in out.iterdir()} == {"readings.svg", "readings.txt", "readings.tex"}
    assert "readings.tex" in said
    assert (out / "readings.txt").read_text().startswith("Readings at the encoder's output")


def test_unknown_figures_are_refused_with_the_known_ones(compared, run, tmp_path, refused):
    out = tmp_path / "figures"
    refused(run("figures", compared[0], "--only", "arrows", "--out", out), "only: expected any of", "received arrows")
    assert not out.exists()


def test_figures_of_encoders_are_computed_when_they_are_asked_for(compared, run, tmp_path):
    out = tmp_path / "figures"
    code, *_ = run("figures", compared[0], "--only", "attribution,units", "--format", "png", "--out", out)
    assert code == 0
    assert {"attribution.png", "units-1col.png"} <= {path.name for path in out.iterdir()}


def test_a_run_that_was_not_measured_is_measured_first(run, small_runs, tmp_path):
    shutil.copytree(small_runs / "supervised-dirty/seed0", tmp_path / "run")
    for name in ("rows.csv", "embedding.csv", "triggers.npz"):
        (tmp_path / "run" / name).unlink(missing_ok=True)
    code, _, err = run(
        "figures", tmp_path / "run", "--only", "readings", "--format", "png", "--out", tmp_path / "figures"
    )
    assert code == 0, err
    assert "measuring" in err
    assert (tmp_path / "run/rows.csv").is_file()


def test_a_table_that_was_emptied_is_one_line_and_no_figure(run, compared, tmp_path, refused):
    shutil.copytree(compared[0], tmp_path / "runs")
    (tmp_path / "runs/supervised-dirty/seed0/embedding.csv").write_text("")
    refused(run("figures", tmp_path / "runs", "--out", tmp_path / "figures"), "embedding.csv", "not a table")
    assert not (tmp_path / "figures").exists()
