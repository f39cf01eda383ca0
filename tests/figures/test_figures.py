"""The figures show what the frames say: every value, every arm, and every reading that could not be had."""

import os
import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from intertwine.figures import (
    ARM_STYLES,
    ONE_COLUMN,
    TWO_COLUMN,
    alignment,
    alignment_map,
    arm_styles,
    arrows,
    defence_map,
    dynamics,
    embeddings,
    forest,
    forgetting,
    gallery,
    geometry,
    headline,
    interpolation,
    readings,
    roc,
    save,
    style,
    sweep,
    transplants,
)
from matplotlib.figure import Figure

ARMS = ["supervised-benign", "simclr-benign", "supervised-dirty", "supervised-clean", "simclr-clean"]
LAYERS = ["stem", "layer1", "features"]


def history(arms=ARMS, seeds=(0,), epochs=6):
    rng = np.random.default_rng(0)
    records = []
    for arm in arms:
        for seed in seeds:
            for epoch in range(1, epochs + 1):
                evaluated = epoch % 2 == 0
                records.append(
                    {
                        "run": f"{arm}-{seed}", "arm": arm, "seed": seed, "epoch": epoch, "images_seen": 100 * epoch,
                        "loss": 1.0, "loss_clean": rng.uniform(0, 5),
                        "loss_poison": np.nan if arm.endswith("-benign") else rng.uniform(0, 5),
                        "acc": rng.uniform() if evaluated else np.nan,
                        "asr": rng.uniform() if evaluated else np.nan, "r_acc": np.nan,
                    }
                )  # fmt: skip
    return pd.DataFrame(records)


def points(arms=ARMS, seeds=(0,), classes=4):
    rng = np.random.default_rng(0)
    records = []
    for arm in arms:
        for seed in seeds:
            for image in range(3 * classes):
                for triggered in (False, True):
                    label = image % classes
                    records.append(
                        {
                            "run": f"{arm}-{seed}", "arm": arm, "seed": seed, "image": image, "label": label,
                            "class_name": f"name{label}", "triggered": triggered, "target": 1,
                            "hit": triggered and label == 2, "x": rng.normal(), "y": rng.normal(),
                        }
                    )  # fmt: skip
    return pd.DataFrame(records)


def row(arm="simclr-clean", seed=0, measure="neighbour_mixing", reference="", value=0.4, status="ok", **more):
    fields = {
        "run": f"{arm}-{seed}", "arm": arm, "seed": seed, "epoch": 40, "layer": "features", "subset": "triggered",
        "measure": measure, "reference": reference, "value": value, "ci_low": value - 0.1, "ci_high": value + 0.2,
        "n": 100, "d": 96, "other_run": "", "other_layer": "", "x": np.nan, "note": "", "status": status,
    }  # fmt: skip
    return {**fields, **more}


def frame(*records):
    return pd.DataFrame(list(records))


def drawn(figure: Figure, gid: str):
    """The (x, y) of the one line with this gid."""
    (line,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return np.asarray(line.get_xdata(), dtype=float), np.asarray(line.get_ydata(), dtype=float)


def looks(figure: Figure, gid: str):
    return figure.findobj(lambda artist: artist.get_gid() == gid)


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def legend_labels(figure: Figure) -> list[str]:
    legends = figure.findobj(matplotlib.legend.Legend)
    return [text.get_text() for legend in legends for text in legend.get_texts()]


def every_figure():
    images = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)
    rows = frame(row(), row(reference="benign", value=0.1), row("supervised-dirty", status="not_evaluable"))
    aligned = frame(*[row(measure="gradient_alignment", layer=layer) for layer in LAYERS])
    return {
        "dynamics": dynamics(history(ARMS[3:], epochs=3)),
        "embeddings": embeddings(points(ARMS[3:])),
        "readings": readings(rows, measures=["neighbour_mixing"]),
        "alignment": alignment(aligned, layers=LAYERS),
        "gallery": gallery(images, images + 1, names=["a", "b"]),
        "alignment_map": alignment_map(followed(), layers=LAYERS),
        "forest": forest(claims(), margin=0.1),
        "interpolation": interpolation(between()),
        "forgetting": forgetting(forgotten()),
        "transplants": transplants(carried(), layers=LAYERS),
        "sweep": sweep(swept(), field="target", measures=["neighbour_mixing"]),
        "defence_map": defence_map(tried(), titles=TITLES),
        "roc": roc(curves()),
        "geometry": geometry(*two_ways(), arms=("supervised-dirty", "simclr-clean")),
        "arrows": arrows(moved(), x_label="mixing", y_label="ASR"),
        "headline": summed_up(),
    }


def summed_up(**options):
    """Two arms and three measures; values by arm .6 and .7, benign twins .1."""
    rows = [
        row(arm, measure=measure, reference=reference, value=0.1 if reference else 0.6 + 0.1 * i)
        for i, arm in enumerate(("supervised-dirty", "simclr-clean", "supervised-clean"))
        for measure in ("asr", "neighbour_mixing", "silhouette")
        for reference in ("", "benign")
    ]
    measures = ["asr", "neighbour_mixing", "silhouette"]
    given = {"arms": ["supervised-dirty", "simclr-clean"], "measures": measures} | options
    return headline(points(), frame(*rows), **given)


def two_ways(arms=("supervised-dirty", "simclr-clean")):
    """Points, spectra (share 2⁻ᵏ, seed 1 four times that), CKA (.1 × row + .2 × column), alignment."""
    spectra = frame(
        *(
            {"arm": arm, "run": f"{arm}-{seed}", "component": k, "share": 2.0 ** (2 * seed - k)}
            for arm in arms
            for seed in (0, 1)
            for k in (1, 2, 3)
        )
    )
    cka = frame(
        *(
            {"layer": a, "other_layer": b, "value": 0.1 * i + 0.2 * j}
            for i, a in enumerate(LAYERS)
            for j, b in enumerate(LAYERS)
        )
    )
    rows = [
        row(arm, measure="gradient_alignment", layer=layer, reference=reference, value=0.4 - 0.3 * bool(reference))
        for arm in arms
        for layer in LAYERS
        for reference in ("", "benign")
    ]
    return points(list(arms)), spectra, cka, frame(*rows)


TITLES = {"asr": "ASR left", "acc_lost": "ACC lost", "auroc": "AUROC"}


def tried(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """ASR .2 by arm, ACC lost .1, AUROC .9, + .1 × seed."""
    return frame(
        *(
            {"defence": defence, "arm": arm, "measure": measure, "seed": seed, "value": value + 0.1 * seed}
            for measure, value, defences in (("asr", 0.2, "ab"), ("acc_lost", 0.1, "b"), ("auroc", 0.8, "cd"))
            for defence in defences
            for arm in arms
            for seed in seeds
        )
    )


def curves(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """TPR of x + .1 × seed."""
    return frame(
        *(
            {"defence": defence, "arm": arm, "seed": seed, "x": x, "value": min(1.0, x + 0.1 * seed)}
            for defence in ("c", "d")
            for arm in arms
            for seed in seeds
            for x in (0.0, 0.01, 0.1, 1.0)
        )
    )


def moved(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """From (.5, 1) to (.3 + .1 × seed, .2)."""
    return frame(
        *(
            {"defence": defence, "arm": arm, "seed": seed, "before_x": 0.5, "before_y": 1.0}
            | {"x": 0.3 + 0.1 * seed, "y": 0.2}
            for defence in ("a", "b")
            for arm in arms
            for seed in seeds
        )
    )


def between(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """ACC .9 and ASR x + .1 × seed on a line of three points, the control .2 lower."""
    return frame(
        *(
            {"run": f"{arm}-{seed}", "arm": arm, "measure": measure, "reference": reference, "x": x}
            | {"value": (0.7 if measure == "acc" else 0.8 * x + 0.1 * seed) + (0.0 if reference else 0.1)}
            for arm in arms
            for seed in seeds
            for measure in ("acc", "asr")
            for reference in ("", "permuted")
            for x in (0.0, 0.5, 1.0)
        )
    )


def forgotten(arms=("supervised-dirty", "simclr-clean"), ways=("ascent", "benign-only"), seeds=(0, 1)):
    """From ACC .9 and ASR 1 at x = 0: ASR falls by x/4, ACC by x/10 (seed 1: x/5), the benign twin's ACC by x/20."""
    return frame(
        *(
            {"run": f"{arm}-{seed}", "arm": arm, "path": way, "measure": measure, "reference": reference, "x": x}
            | {"value": start - fall * x}
            for arm in arms
            for way in ways
            for seed in seeds
            for measure, reference, start, fall in (
                ("acc", "", 0.9, 0.1 * (1 + seed)),
                ("asr", "", 1.0, 0.25),
                ("acc", "benign", 0.8, 0.05),
                ("asr", "benign", 0.1, 0.0),
            )
            for x in (0, 1, 2)
        )
    )


def carried(arms=("supervised-dirty", "simclr-clean"), seeds=(0, 1)):
    """Shares of .1, .2, .3 by layer (+ .1 × seed), control 0."""
    return frame(
        *(
            row(arm, seed, measure, reference, 0.0 if reference else 0.1 * (i + 1 + seed), layer=layer)
            for arm in arms
            for seed in seeds
            for measure in ("transplant_gain", "transplant_loss")
            for reference in ("", "random-direction")
            for i, layer in enumerate(LAYERS)
        )
    )


def swept(values=("3", "0"), arms=("supervised-dirty", "simclr-clean"), **more):
    """Mixing .3 at the first value, .4 at the second (+ .1 × seed), benign twin .05."""
    return frame(
        *(
            row(arm, seed, reference=reference, value=0.05 if reference else 0.3 + 0.1 * i + 0.1 * seed, **more)
            | {"target": value}
            for i, value in enumerate(values)
            for arm in arms
            for seed in (0, 1)
            for reference in ("", "benign")
        )
    )


def followed(arms=("supervised-dirty", "simclr-clean"), epochs=(0, 1, 4)):
    """Gradient alignment of two seeds along training: reading .1 × epoch, benign twin .05, at every layer."""
    rows = [
        row(arm, seed, "gradient_alignment", reference, value, layer=layer, epoch=epoch)
        for arm in arms
        for seed in (0, 1)
        for layer in LAYERS
        for epoch in epochs
        for reference, value in (("", 0.1 * epoch + 0.02 * seed), ("benign", 0.05))
    ]
    return frame(*rows)


def claims(**changes):
    lines = [
        ("C2", "supervised-dirty", "supervised-benign (benign twin)", 0.02),
        ("C4", "simclr-clean", "supervised-dirty", 0.4),
    ]
    return frame(
        *(
            {"claim": claim, "arm": arm, "against": against, "measure": measure, "verdict": "indicative: supported"}
            | {"effect": effect, "ci_low": effect - 0.05, "ci_high": effect + 0.05, "seeds": 3}
            | changes
            for claim, arm, against, effect in lines
            for measure in ("neighbour_mixing", "gradient_alignment")
        )
    )


class TestStyle:
    def test_arms_keep_their_look_and_differ(self):
        known = list(ARM_STYLES.values())
        assert len({look.color for look in known}) == len({look.marker for look in known}) == len(known) == 17
        assert arm_styles(ARMS)["simclr-clean"] == arm_styles(["simclr-clean"])["simclr-clean"]

    def test_unknown_arms_get_looks_of_their_own(self):
        names = [f"arm{i}" for i in range(24)]
        found = arm_styles(names)
        assert len({(look.color, look.marker) for look in found.values()}) == 24
        assert not {look.color for look in found.values()} & {look.color for look in ARM_STYLES.values()}
        assert len(arm_styles([f"arm{i}" for i in range(40)])) == 40  # more than there are: repeats, no endless search

    def test_the_callers_settings_come_back(self):
        with matplotlib.rc_context({"font.size": 23, "pdf.fonttype": 3}):
            with style():
                assert matplotlib.rcParams["pdf.fonttype"] == 42
            assert (matplotlib.rcParams["font.size"], matplotlib.rcParams["pdf.fonttype"]) == (23, 3)

    def test_figures_ignore_the_callers_settings_and_pyplot(self):
        plain = readings(frame(row()), measures=["neighbour_mixing"])
        with matplotlib.rc_context({"font.size": 23, "axes.facecolor": "red"}):
            dressed = readings(frame(row()), measures=["neighbour_mixing"])
        assert plain.axes[0].get_facecolor() == dressed.axes[0].get_facecolor()
        assert plain.axes[0].title.get_fontsize() == dressed.axes[0].title.get_fontsize()
        code = "import sys, intertwine.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

    def test_width_is_in_inches(self):
        figure = dynamics(history(ARMS[:1]), width=ONE_COLUMN)
        assert figure.get_size_inches()[0] == ONE_COLUMN
        with pytest.raises(ValueError, match="width: expected a positive number of inches, received -1"):
            dynamics(history(), width=-1)


class TestSave:
    @pytest.mark.parametrize("name", ["dynamics", "embeddings", "readings", "alignment", "gallery"])
    def test_same_input_same_bytes(self, tmp_path, name):
        first = every_figure()[name]
        paths = save(first, tmp_path / "a") + save(first, tmp_path / "b") + save(every_figure()[name], tmp_path / "c")
        assert [path.name for path in paths] == ["a.pdf", "a.png", "b.pdf", "b.png", "c.pdf", "c.png"]
        pdf, png = ([path.read_bytes() for path in paths if path.suffix == suffix] for suffix in (".pdf", ".png"))
        assert len(set(pdf)) == len(set(png)) == 1
        assert b"/Type0" in pdf[0]  # fonts are embedded as TrueType
        assert b"CreationDate" not in pdf[0]

    def test_where_the_solver_lies_in_memory_leaves_no_trace(self):
        """Its sums differ by 1e-14 from drawing to drawing, which changed the last digits of a file in one of five."""
        for name, figure in every_figure().items():
            for axes in figure.findobj(matplotlib.axes.Axes):
                place = axes.get_position(original=True).get_points()
                assert np.abs(place - place.round(6)).max() < 1e-15, name

    def test_same_bytes_in_another_process(self, tmp_path):
        code = (
            "import sys, pandas as pd; from intertwine.figures import readings, save;"
            "save(readings(pd.read_json(sys.argv[1]), measures=['neighbour_mixing']), sys.argv[2])"
        )
        frame(row(), row("byol"), row(reference="benign")).to_json(tmp_path / "rows.json")
        for seed in ("1", "2"):
            command = [sys.executable, "-c", code, tmp_path / "rows.json", tmp_path / seed]
            subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        for suffix in ("pdf", "png"):
            assert (tmp_path / f"1.{suffix}").read_bytes() == (tmp_path / f"2.{suffix}").read_bytes()

    def test_makes_folders_keeps_dots_and_leaves_nothing_else(self, tmp_path):
        save(Figure(), tmp_path / "new" / "rate-0.5")
        assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["rate-0.5.pdf", "rate-0.5.png"]

    def test_a_failure_leaves_the_old_file(self, tmp_path, monkeypatch):
        (tmp_path / "a.pdf").write_text("old")

        def fail(self, path, **_):
            path.write_text("half")
            raise OSError("disk full")

        monkeypatch.setattr(Figure, "savefig", fail)
        with pytest.raises(OSError, match="disk full"):
            save(Figure(), tmp_path / "a")
        assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.pdf", "old")]


class TestDynamics:
    def test_lines_are_the_frame(self):
        table = history()
        figure = dynamics(table)
        for arm in ARMS:
            own = table[table["arm"] == arm]
            for column in ("acc", "asr"):
                evaluated = own.dropna(subset=[column])
                x, y = drawn(figure, f"{column}/{arm}")
                np.testing.assert_array_equal(x, evaluated["epoch"])
                np.testing.assert_allclose(y, evaluated[column])
            np.testing.assert_allclose(drawn(figure, f"loss_clean/{arm}")[1], own["loss_clean"])
            if not arm.endswith("-benign"):
                np.testing.assert_allclose(drawn(figure, f"loss_poison/{arm}")[1], own["loss_poison"])

    def test_clean_arms_have_no_poison_loss_and_every_arm_is_named(self):
        figure = dynamics(history())
        assert not looks(figure, "loss_poison/supervised-benign")
        assert legend_labels(figure)[: len(ARMS)] == ARMS
        assert set(ARMS) <= {axes.get_title(loc="left") for axes in figure.findobj(matplotlib.axes.Axes)}

    def test_several_seeds_mean_and_band(self):
        table = history(["simclr-clean"], seeds=(0, 1, 2))
        figure = dynamics(table)
        over = table.dropna(subset=["asr"]).groupby("epoch")["asr"]
        np.testing.assert_allclose(drawn(figure, "asr/simclr-clean")[1], over.mean())
        (line,) = looks(figure, "asr/simclr-clean")
        (band,) = line.axes.collections
        corners = band.get_paths()[0].vertices[:, 1]
        assert set(np.round(over.min(), 9)) | set(np.round(over.max(), 9)) <= set(np.round(corners, 9))

    def test_what_was_not_measured_is_said(self):
        table = history(["simclr-clean", "moco"])
        table.loc[table["arm"] == "moco", ["asr", "loss_clean", "loss_poison"]] = np.nan
        text = words(dynamics(table))
        assert "not evaluated:\nmoco" in text
        assert "no per-sample loss" in text

    def test_percent_is_refused(self):
        with pytest.raises(ValueError, match=r"history: expected acc as a share in \[0, 1\], received 95"):
            dynamics(history().assign(acc=95.0))


class TestEmbeddings:
    def test_points_are_the_frame_by_kind(self):
        table = points(["simclr-clean"])
        figure = embeddings(table)
        kinds = {
            "hit/simclr-clean": table["triggered"] & (table["label"] == 2),
            "miss/simclr-clean": table["triggered"] & table["label"].isin([0, 3]),
            "triggered-target/simclr-clean": table["triggered"] & (table["label"] == 1),
            "target/simclr-clean": ~table["triggered"] & (table["label"] == 1),
            "other/simclr-clean/3": ~table["triggered"] & (table["label"] == 3),
        }
        for gid, mask in kinds.items():
            x, y = drawn(figure, gid)
            np.testing.assert_array_equal(x, table.loc[mask, "x"])
            np.testing.assert_array_equal(y, table.loc[mask, "y"])
        hit, miss = looks(figure, "hit/simclr-clean")[0], looks(figure, "miss/simclr-clean")[0]
        assert hit.get_markerfacecolor() != miss.get_markerfacecolor() == "none"

    def test_one_legend_and_a_title_a_panel(self):
        figure = embeddings(points())
        assert len(figure.legends) == 1
        assert not any(axes.get_legend() for axes in figure.axes)
        assert {"clean, target class (name1)", "clean: name0", "clean: name3"} <= set(legend_labels(figure))
        assert [axes.get_title() for axes in figure.axes] == [f"{arm}\nn = 24" for arm in ARMS]

    def test_several_seeds_draw_the_first_and_say_so(self):
        table = points(["simclr-clean"], seeds=(7, 5))
        figure = embeddings(table)
        assert figure.axes[0].get_title() == "simclr-clean\nseed 5, the first of 2; n = 24"
        own = table[(table["seed"] == 5) & table["triggered"] & (table["label"] == 2)]
        np.testing.assert_array_equal(drawn(figure, "hit/simclr-clean")[0], own["x"])

    def test_many_classes_share_one_grey(self):
        figure = embeddings(points(["simclr-clean"], classes=20))
        assert "clean, 19 other classes" in legend_labels(figure)
        assert len({line.get_color() for line in figure.axes[0].lines if line.get_gid().startswith("other/")}) == 1

    def test_missing_coordinates_are_counted(self):
        table = points(["simclr-clean"])
        table.loc[:1, "x"] = np.nan
        assert "2 of 24 have no coordinates" in words(embeddings(table))
        assert "24 of 24 have no coordinates" in words(embeddings(table.assign(y=np.nan)))

    def test_a_triggered_image_without_verdict_is_refused(self):
        table = points(["simclr-clean"]).astype({"hit": object})
        table.loc[table["triggered"] & (table["label"] == 3), "hit"] = None
        with pytest.raises(ValueError, match="points: expected true or false in column hit, received nan"):
            embeddings(table)


class TestInterpolation:
    def test_lines_are_means_over_runs_with_their_control(self):
        figure = interpolation(between())
        x, y = drawn(figure, "asr/simclr-clean")
        np.testing.assert_allclose(x, [0, 0.5, 1])
        np.testing.assert_allclose(y, [0.15, 0.55, 0.95])
        np.testing.assert_allclose(drawn(figure, "permuted/asr/simclr-clean")[1], [0.05, 0.45, 0.85])
        np.testing.assert_allclose(drawn(figure, "acc/supervised-dirty")[1], [0.8] * 3)
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["supervised-dirty", "simclr-clean"]
        bands = [c.get_paths()[0].vertices[:, 1] for c in looks(figure, "asr/simclr-clean")[0].axes.collections]
        assert sorted((round(band.min(), 9), round(band.max(), 9)) for band in bands) == [(0.1, 1.0), (0.8, 0.8)]


class TestForgetting:
    def test_markers_are_what_was_lost_since_the_start(self):
        figure = forgetting(forgotten())
        for way in ("ascent", "benign-only"):
            x, y = drawn(figure, f"{way}/simclr-clean")
            np.testing.assert_allclose(x, [0, 0.25, 0.5])
            np.testing.assert_allclose(y, [0, 0.15, 0.3], atol=1e-12)
            np.testing.assert_allclose(drawn(figure, f"benign/{way}/simclr-clean")[1], [0, 0.05, 0.1], atol=1e-12)
        low, high = figure.axes[0].get_ylim()
        assert low < 0
        assert high > 0.4  # of the run that lost most

    def test_ways_keep_their_order_and_noise_does_not_fill_a_panel(self):
        points = forgotten(ways=("clean-finetuning", "ascent"))
        points["value"] = points["value"].where(points["measure"] == "asr", 0.9)
        figure = forgetting(points)
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["clean finetuning", "ascent"]
        assert figure.axes[0].get_ylim()[1] > 0.1

    def test_a_run_that_ended_early_leaves_the_later_means(self):
        points = forgotten()
        early = (points["run"] == "simclr-clean-1") & (points["x"] == 2)
        np.testing.assert_allclose(drawn(forgetting(points[~early]), "ascent/simclr-clean")[1], [0, 0.15, 0.2])


class TestTransplants:
    def test_means_ranges_and_controls(self):
        labels = {"transplant_gain": "ASR gained with the layer", "transplant_loss": "ASR lost with the layer"}
        figure = transplants(carried(), layers=LAYERS, labels=labels)
        np.testing.assert_allclose(drawn(figure, "transplant_gain/simclr-clean/transplant_gain")[1], [0.15, 0.25, 0.35])
        np.testing.assert_allclose(drawn(figure, "random-direction/simclr-clean/transplant_loss")[1], 0.0)
        assert [axes.get_title(loc="left") for axes in figure.axes] == [
            "ASR gained with the layer",
            "ASR lost with the layer",
        ]
        spans = {tuple(np.round(path.vertices[:, 1], 9)) for c in figure.axes[0].collections for path in c.get_paths()}
        assert (0.1, 0.2) in spans

    def test_what_is_not_ok_is_left_out(self):
        rows = carried()
        rows.loc[rows["arm"] == "simclr-clean", "status"] = "undefined"
        assert not looks(transplants(rows, layers=LAYERS), "transplant_gain/simclr-clean/transplant_gain")
        with pytest.raises(ValueError, match="rows: expected rows of transplant_gain or transplant_loss at"):
            transplants(rows.assign(status="undefined"), layers=LAYERS)


class TestSweep:
    def test_values_stand_in_their_order_with_benign_twins(self):
        figure = sweep(swept(), field="target", measures=["neighbour_mixing"])
        np.testing.assert_allclose(drawn(figure, "simclr-clean/neighbour_mixing")[1], [0.35, 0.45])
        np.testing.assert_allclose(drawn(figure, "benign/simclr-clean/neighbour_mixing")[1], [0.05, 0.05])
        assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["3", "0"]
        assert "no run is ok" not in legend_labels(figure)

    def test_where_no_run_is_ok_the_point_is_hollow(self):
        rows = swept()
        rows.loc[(rows["target"] == "3") & (rows["arm"] == "simclr-clean"), "status"] = "not_evaluable"
        figure = sweep(rows, field="target", measures=["neighbour_mixing"])
        np.testing.assert_allclose(drawn(figure, "simclr-clean/neighbour_mixing")[1], [np.nan, 0.45])
        np.testing.assert_allclose(drawn(figure, "not-ok/simclr-clean/neighbour_mixing")[1], [0.35, np.nan])
        np.testing.assert_allclose(drawn(figure, "benign/simclr-clean/neighbour_mixing")[1], [np.nan, 0.05])
        assert "no run is ok" in legend_labels(figure)
        with pytest.raises(ValueError, match="measures: expected names among those in rows, received silhouette"):
            sweep(rows, field="target", measures=["silhouette"])


class TestDefenceMap:
    def cells(self, figure, measure):
        (mesh,) = looks(figure, f"map/{measure}")
        return np.asarray(mesh.get_array().filled(np.nan), dtype=float)

    def test_cells_are_means_over_seeds_as_colour_and_number(self):
        figure = defence_map(tried(), titles=TITLES)
        assert [axes.get_title(loc="left") for axes in figure.axes] == list(TITLES.values())
        assert self.cells(figure, "asr") == pytest.approx(np.full((2, 2), 0.25))
        assert self.cells(figure, "acc_lost") == pytest.approx(np.full((1, 2), 0.15))
        assert [text.get_text() for text in figure.axes[2].get_yticklabels()] == ["c", "d"]
        assert words(figure).count("0.85") == 4
        assert "2 seeds" in words(figure)

    def test_a_cell_without_a_value_is_a_cross(self):
        rows = tried()
        rows.loc[(rows.defence == "c") & (rows.arm == "simclr-clean"), "value"] = np.nan
        figure = defence_map(rows[~((rows.defence == "d") & (rows.arm == "simclr-clean"))], titles=TITLES)
        assert words(figure).count("×") == 2
        fewer = rows.drop(rows[(rows.defence == "a") & (rows.seed == 1)].index)
        assert "1 to 2 seeds a cell" in words(defence_map(fewer, titles=TITLES))
        assert np.isnan(self.cells(figure, "auroc")[:, 1]).all()

    def test_measures_without_colours_are_refused(self):
        with pytest.raises(ValueError, match="titles: expected measures of asr, acc_lost, auroc, received cka"):
            defence_map(tried(), titles={"cka": "CKA"})


class TestRoc:
    def test_lines_are_means_over_seeds_at_each_rate(self):
        figure = roc(curves())
        x, y = drawn(figure, "simclr-clean/c")
        assert x == pytest.approx([0.01, 0.1, 1.0]), "0 has no place on a logarithmic axis"
        assert y == pytest.approx([0.06, 0.15, 1.0])
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["c", "d"]
        assert "chance" in legend_labels(figure)

    def test_no_rate_above_zero(self):
        rows = curves()
        with pytest.raises(ValueError, match="curves: expected false-positive rates above 0, received none"):
            roc(rows[rows.x == 0])


class TestArrows:
    def test_from_the_mean_before_to_the_mean_after(self):
        figure = arrows(moved(), x_label="mixing", y_label="ASR")
        assert np.ravel(drawn(figure, "before/simclr-clean/a")) == pytest.approx([0.5, 1.0])
        assert np.ravel(drawn(figure, "after/simclr-clean/b")) == pytest.approx([0.35, 0.2])

    def test_a_seed_that_lacks_a_number_is_left_out(self):
        rows = moved()
        rows.loc[rows.seed == 1, "y"] = np.nan
        rows.loc[rows.defence == "b", "x"] = np.nan
        figure = arrows(rows, x_label="mixing", y_label="ASR")
        assert np.ravel(drawn(figure, "after/simclr-clean/a")) == pytest.approx([0.3, 0.2])
        assert not looks(figure, "after/simclr-clean/b")
        assert words(figure).count("no value") == 1


class TestGeometry:
    def test_the_parts_are_the_tables(self):
        figure = geometry(*two_ways(), arms=("supervised-dirty", "simclr-clean"))
        component, share = drawn(figure, "spectrum/simclr-clean")
        assert component == pytest.approx([1, 2, 3])
        assert share == pytest.approx([1.0, 0.5, 0.25]), "the geometric mean of two runs"
        (mesh,) = looks(figure, "cka")
        expected = [[0.1 * i + 0.2 * j for j in range(3)] for i in range(3)]
        assert np.asarray(mesh.get_array(), dtype=float) == pytest.approx(np.array(expected))
        assert drawn(figure, "reading/simclr-clean/stem")[1] == pytest.approx([0.4])
        assert drawn(figure, "benign/supervised-dirty/stem")[1] == pytest.approx([0.1])
        assert {"a", "b", "c", "d"} <= set(words(figure))

    def test_other_arms_are_left_out(self):
        tables = two_ways(("supervised-dirty", "simclr-clean", "supervised-clean"))
        figure = geometry(*tables, arms=("supervised-dirty", "simclr-clean"))
        assert not any("supervised-clean" in word for word in words(figure))

    def test_bad_input(self):
        points_of, spectra, cka, rows = two_ways()
        with pytest.raises(ValueError, match="cka: expected the columns layer, other_layer, value"):
            geometry(points_of, spectra, cka.drop(columns="value"), rows, arms=("supervised-dirty", "simclr-clean"))


class TestHeadline:
    def test_the_parts_are_the_tables(self):
        figure = summed_up()
        for gid, value in (("reading/simclr-clean", 0.7), ("benign/supervised-dirty", 0.1)):
            assert [line.get_xdata()[0] for line in looks(figure, gid)] == pytest.approx([value] * 3)
        assert looks(figure, "target/simclr-clean")
        assert {"a", "b"} <= set(words(figure))
        assert not any("supervised-clean" in word for word in words(figure)), "other arms are left out"

    def test_arms_that_are_not_there_are_refused(self):
        with pytest.raises(ValueError, match="arms: expected arms in points and rows, received supcon-dirty"):
            summed_up(arms=["simclr-clean", "supcon-dirty"])


class TestReadings:
    def test_coordinates_are_the_values(self):
        records = []
        for i, arm in enumerate(ARMS):
            records += [row(arm, value=0.2 + i / 10), row(arm, reference="benign", value=0.05 * i)]
        figure = readings(frame(*records), measures=["neighbour_mixing"])
        axes = figure.axes[0]
        for i, arm in enumerate(ARMS):
            x, y = drawn(figure, f"reading/{arm}")
            assert (x[0], round(y[0])) == (0.2 + i / 10, i)
            np.testing.assert_allclose(drawn(figure, f"interval/{arm}")[0], [0.1 + i / 10, 0.4 + i / 10])
            assert drawn(figure, f"benign/{arm}")[0] == 0.05 * i
        assert [label.get_text() for label in axes.get_yticklabels()] == ARMS
        assert "benign" in legend_labels(figure)
        low, high = axes.get_xlim()
        assert low < 0.0 < 0.8 < high

    def test_one_panel_a_measure_with_its_label_and_place(self):
        rows = frame(row(), row(measure="source_accuracy", layer="layer1", subset="hits"), row(measure="my_own"))
        figure = readings(rows, measures=["source_accuracy", "my_own"])
        assert [axes.get_title(loc="left") for axes in figure.axes] == ["source accuracy", "my own"]
        assert figure.axes[0].get_xlabel() == "layer1 · hits"

    def test_words_come_from_the_labels(self):
        rows = frame(row(measure="asr"), row(measure="asr", reference="benign", value=0.1))
        words = {"asr": "ASR", "benign": "benign twin", "features": "output", "triggered": "triggered images"}
        figure = readings(rows, measures=["asr"], labels=words)
        assert figure.axes[0].get_title(loc="left") == "ASR"
        assert figure.axes[0].get_xlabel() == "output · triggered images"
        assert "benign twin" in legend_labels(figure)

    @pytest.mark.parametrize("status", ["not_evaluable", "not_estimable", "undefined"])
    @pytest.mark.parametrize("value", [0.3, np.nan])
    def test_a_reading_that_is_not_ok_is_marked(self, status, value):
        figure = readings(
            frame(row("supervised-dirty"), row(value=value, status=status)), measures=["neighbour_mixing"]
        )
        assert status.replace("_", " ") in words(figure)
        if np.isfinite(value):
            (marker,) = looks(figure, "reading/simclr-clean")
            assert marker.get_markerfacecolor() == "white" != looks(figure, "reading/supervised-dirty")[0].get_color()
            assert marker.get_color() != ARM_STYLES["simclr-clean"].color
        else:
            assert not looks(figure, "reading/simclr-clean")

    def test_nothing_vanishes(self):
        rows = frame(
            row(value=np.nan),  # claims to be ok
            row("supervised-dirty", measure="silhouette"),
            row("supervised-dirty"),
            row("supervised-dirty", reference="benign", value=np.nan, status="undefined"),
        )
        figure = readings(rows, measures=["neighbour_mixing", "silhouette"])
        assert {"no value", "no reading"} <= set(words(figure))
        # A reference that has no value is not there, rather than a note across the panel.
        assert not figure.findobj(lambda artist: artist.get_gid() == "benign/supervised-dirty")

    def test_nothing_to_place_at_all(self):
        assert "undefined" in words(
            readings(frame(row(value=np.nan, status="undefined")), measures=["neighbour_mixing"])
        )

    def test_values_stay_inside_even_when_not_ok(self):
        figure = readings(
            frame(row(), row("supervised-dirty", value=9.0, status="not_estimable", ci_low=-500.0, ci_high=500.0)),
            measures=["neighbour_mixing"],
        )
        assert 9 < figure.axes[0].get_xlim()[1] < 12

    def test_several_seeds_small_dots_and_their_mean(self):
        rows = frame(*[row(seed=seed, value=value) for seed, value in enumerate([0.1, 0.2, 0.6])])
        rows.loc[2, "status"] = "not_evaluable"
        figure = readings(rows, measures=["neighbour_mixing"])
        ok, bad = looks(figure, "run/simclr-clean")
        np.testing.assert_allclose(ok.get_xdata(), [0.1, 0.2])
        np.testing.assert_allclose(bad.get_xdata(), [0.6])
        np.testing.assert_allclose(drawn(figure, "reading/simclr-clean")[0], 0.15)
        assert "not evaluable (1 of 3)" in words(figure)
        assert not looks(figure, "interval/simclr-clean")

    def test_the_benign_beside_a_mean_is_that_of_the_same_runs(self):
        values = [(0.1, 0.0, "ok"), (0.2, 0.1, "ok"), (0.6, 0.9, "not_evaluable")]
        rows = [row(seed=seed, value=own, status=status) for seed, (own, _, status) in enumerate(values)]
        rows += [row(seed=seed, value=benign, reference="benign") for seed, (_, benign, _) in enumerate(values)]
        figure = readings(frame(*rows), measures=["neighbour_mixing"])
        assert drawn(figure, "benign/simclr-clean")[0] == pytest.approx([0.05])

    def test_missing_reference_is_a_reading(self):
        figure = readings(frame(row(reference=np.nan)), measures=["neighbour_mixing"])
        assert looks(figure, "reading/simclr-clean")

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"measures: expected .* received mixing"):
            readings(frame(row()), measures=["mixing"])
        with pytest.raises(ValueError, match="measures: expected a sequence"):
            readings(frame(row()), measures="neighbour_mixing")
        with pytest.raises(ValueError, match=r"one reading for each run and measure .* run simclr-clean-0"):
            readings(frame(row(), row(layer="layer1")), measures=["neighbour_mixing"])
        with pytest.raises(ValueError, match="rows: expected numbers in column value, received 'high'"):
            readings(frame(row()).assign(value="high"), measures=["neighbour_mixing"])


class TestAlignment:
    def rows(self, **more):
        records = []
        for arm in ARMS[2:]:
            for i, layer in enumerate(LAYERS):
                for reference, value in (("", -0.3 * i), ("benign", 0.1 * i), ("random-trigger", 0.05)):
                    records.append(
                        row(arm, measure="gradient_alignment", layer=layer, reference=reference, value=value, **more)
                    )
        return frame(*records)

    def test_heights_are_the_values_in_the_order_of_layers(self):
        figure = alignment(self.rows(), layers=LAYERS[::-1])
        assert [axes.get_title(loc="left") for axes in figure.axes] == ARMS[2:]
        for i, layer in enumerate(LAYERS):
            x, y = drawn(figure, f"reading/simclr-clean/{layer}")
            assert (round(x[0]), y[0]) == (2 - i, -0.3 * i)
            assert drawn(figure, f"benign/simclr-clean/{layer}")[1] == 0.1 * i
            ends = drawn(figure, f"interval/reading/simclr-clean/{layer}")[1]
            np.testing.assert_allclose(ends, [-0.3 * i - 0.1, -0.3 * i + 0.2])
        assert {"reading", "benign", "random trigger"} <= set(legend_labels(figure))
        benign = looks(figure, "benign/simclr-clean/stem")[0]
        assert benign.get_color() == ARM_STYLES["simclr-clean"].color

    def test_references_beside_a_mean_are_those_of_the_same_runs(self):
        """At each layer: a run that is left out at one counts at another."""
        own, benign_twins = self.rows(), self.rows()
        own["status"] = np.where((own["reference"] == "") & (own["layer"] == "stem"), "not_estimable", "ok")
        own, benign_twins = (f.assign(seed=s, run=f["arm"] + f"-{s}") for s, f in enumerate((own, benign_twins)))
        own.loc[own["reference"] == "benign", "value"] = 0.8
        figure = alignment(pd.concat([own, benign_twins]), layers=LAYERS)
        assert drawn(figure, "benign/simclr-clean/stem")[1] == pytest.approx([0.0]), "of the other run alone"
        assert drawn(figure, f"benign/simclr-clean/{LAYERS[1]}")[1] == pytest.approx([(0.8 + 0.1) / 2])
        own["status"] = np.where(own["reference"] == "", "not_estimable", "ok")
        figure = alignment(own, layers=LAYERS)
        assert drawn(figure, "benign/simclr-clean/stem")[1] == pytest.approx([0.8]), "where no reading counts, all do"

    def test_values_beyond_one_are_not_clipped(self):
        rows = self.rows()
        rows.loc[0, ["value", "ci_low", "ci_high"]] = [1.3, 1.1, 1.6]
        low, high = alignment(rows, layers=LAYERS).axes[0].get_ylim()
        assert low < -1
        assert high > 1.6

    def test_not_estimable_is_hollow_and_leaves_the_line(self):
        rows = self.rows()
        mark = (rows["arm"] == "simclr-clean") & (rows["reference"] == "")
        rows.loc[mark & (rows["layer"] == "layer1"), ["status", "ci_low", "ci_high"]] = ["not_estimable", -40.0, 40.0]
        rows.loc[mark & (rows["layer"] == "stem"), ["status", "value"]] = ["not_estimable", np.nan]
        figure = alignment(rows, layers=LAYERS)
        (point,) = looks(figure, "reading/simclr-clean/layer1")
        assert point.get_ydata()[0] == -0.3
        assert point.get_markerfacecolor() == "white"
        assert figure.axes[0].get_ylim()[1] < 2  # its interval does not squash the others
        assert words(figure).count("not estimable") == 2  # in the panel and in the legend
        joined = [line for line in figure.axes[2].lines if len(line.get_xdata()) == 3 and line.get_linestyle() == "-"]
        assert np.isnan(joined[0].get_ydata()[:2]).all()

    def test_several_seeds(self):
        rows = pd.concat([self.rows(seed=seed, run=f"r{seed}") for seed in range(2)]).reset_index(drop=True)
        rows["run"] += rows["arm"]
        rows["value"] += 0.2 * rows["seed"]
        rows.loc[rows.index[-3:-2], ["value", "status"]] = [np.nan, "not_estimable"]  # simclr-clean, features, seed 1
        figure = alignment(rows, layers=LAYERS)
        np.testing.assert_allclose(drawn(figure, "reading/simclr-clean/layer1")[1], [-0.2])
        np.testing.assert_allclose(drawn(figure, "reading/simclr-clean/features")[1], [-0.6])
        assert "not estimable (1 of 2)" in words(figure)
        assert "mean of runs" in legend_labels(figure)

    def test_bad_input(self):
        with pytest.raises(ValueError, match=r"layers: expected .* received layer9"):
            alignment(self.rows(), layers=["stem", "layer9"])
        with pytest.raises(ValueError, match="rows: expected rows of the measure gradient_alignment, received none"):
            alignment(frame(row()), layers=["features"])
        with pytest.raises(ValueError, match="one reading for each run and layer"):
            alignment(pd.concat([self.rows(), self.rows(epoch=2)]), layers=LAYERS)


class TestForest:
    def test_every_effect_is_drawn_with_its_interval(self):
        figure = forest(claims(), margin=0.1)
        x, _ = drawn(figure, "C4/simclr-clean/supervised-dirty/neighbour_mixing")
        assert x == pytest.approx([0.4])
        x, y = drawn(figure, "interval/C4/simclr-clean/supervised-dirty/gradient_alignment")
        assert x == pytest.approx([0.35, 0.45])
        assert y[0] == y[1]
        assert {"C2  supervised-dirty", "C4  simclr-clean − supervised-dirty"} <= set(words(figure))
        assert words(figure).count("indicative: supported") == 2, "one verdict a claim"

    def test_an_effect_that_is_not_there_is_a_word(self):
        figure = forest(claims(effect=np.nan, verdict="not evaluable"), margin=0.1)
        assert words(figure).count("no value") == 4
        assert words(figure).count("not evaluable") == 2

    @pytest.mark.parametrize("margin", [0, -1, np.nan])
    def test_a_margin_is_positive(self, margin):
        with pytest.raises(ValueError, match="margin: expected a positive number"):
            forest(claims(), margin=margin)


class TestAlignmentMap:
    def cells(self, figure, position):
        return np.asarray(figure.axes[position].images[0].get_array(), dtype=float)

    def test_cells_are_means_over_runs_and_their_difference_to_the_benign(self):
        figure = alignment_map(followed(), layers=LAYERS)
        assert [axes.get_title(loc="left") for axes in figure.axes[:4]] == [
            *("supervised-dirty", "minus benign twin"),
            *("simclr-clean", "minus benign twin"),
        ]
        expected = np.array([[0.01, 0.11, 0.41]] * 3)
        assert self.cells(figure, 0) == pytest.approx(expected)
        assert self.cells(figure, 1) == pytest.approx(expected - 0.05)
        assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == LAYERS[::-1]

    def test_what_no_run_has_is_a_cross(self):
        rows = followed()
        rows.loc[(rows.layer == "stem") & (rows.epoch == 4) & (rows.arm == "simclr-clean"), "value"] = np.nan
        figure = alignment_map(rows, layers=LAYERS)
        crosses = [len(axes.lines[0].get_xdata()) for axes in figure.axes[:4]]
        assert crosses == [0, 0, 1, 1]

    def test_a_value_that_is_not_told_from_noise_is_not_drawn(self):
        rows = followed(("simclr-clean",))
        rows.loc[rows.layer == "stem", ["value", "status"]] = [0.9, "not_estimable"]
        figure = alignment_map(rows, layers=LAYERS)
        assert [len(axes.lines[0].get_xdata()) for axes in figure.axes[:2]] == [3, 3]

    def test_the_difference_is_that_of_the_runs_that_have_both(self):
        """Seed 1's benign twin is missing: its high reading must not be held against seed 0's benign twin."""
        rows = followed(("simclr-clean",))
        rows.loc[(rows.seed == 1) & (rows.reference == ""), "value"] = 0.9
        rows.loc[(rows.seed == 1) & (rows.reference == "benign"), "value"] = np.nan
        assert self.cells(alignment_map(rows, layers=LAYERS), 1) == pytest.approx(np.array([[-0.05, 0.05, 0.35]] * 3))

    def test_arms_that_do_not_fill_the_last_line_are_drawn_too(self):
        arms = [*ARMS[2:], "supcon-dirty", "supcon-clean"]
        panels = [axes for axes in alignment_map(followed(arms), layers=LAYERS).axes if axes.images]
        assert len(panels) == 2 * len(arms)

    def test_arms_that_were_read_once_make_no_map(self):
        rows = pd.concat([followed(), followed(("supcon-benign",), epochs=(4,))])
        titles = [axes.get_title(loc="left") for axes in alignment_map(rows, layers=LAYERS).axes]
        assert not any("supcon-benign" in title for title in titles)

    def test_rows_of_another_measure_are_refused(self):
        with pytest.raises(ValueError, match="rows: expected rows of gradient_alignment at stem, received none"):
            alignment_map(frame(row(epoch=1)), layers=["stem"])


class TestGallery:
    clean = np.full((2, 3, 4, 5), 100, np.uint8)

    def test_rows_show_clean_triggered_and_signed_difference(self):
        triggered = self.clean.copy()
        triggered[0, 0, 0, 0], triggered[0, 1, 0, 0], triggered[1, 2, 3, 4] = 110, 90, 255
        figure = gallery(self.clean, triggered, names=["a", "b"], gain=4)
        shown = [axes.images[0].get_array() for axes in figure.axes]
        np.testing.assert_array_equal(shown[0], self.clean[0].transpose(1, 2, 0))
        np.testing.assert_array_equal(shown[3], triggered[1].transpose(1, 2, 0))
        assert shown[4][0, 0].tolist() == [168, 88, 128]  # up, down (not wrapped), unchanged grey
        assert shown[5][3, 4].tolist() == [128, 128, 255]  # cut, not wrapped
        assert {"difference × 4\n(grey: none)", "largest: 10", "largest: 155", "a", "b"} <= set(words(figure))
        assert all(axes.images[0].get_interpolation() == "nearest" for axes in figure.axes)

    def test_bad_input(self):
        with pytest.raises(ValueError, match="clean: expected a uint8 array"):
            gallery(self.clean / 255, self.clean, names=["a", "b"])
        with pytest.raises(ValueError, match=r"triggered: expected the shape of clean, .* received \(1, 3, 4, 5\)"):
            gallery(self.clean, self.clean[:1], names=["a", "b"])
        with pytest.raises(ValueError, match="names: expected 2 names"):
            gallery(self.clean, self.clean, names=["a"])
        with pytest.raises(ValueError, match="gain: expected a positive number, received 0"):
            gallery(self.clean, self.clean, names=["a", "b"], gain=0)
        with pytest.raises(ValueError, match="width: expected at least"):
            gallery(self.clean, self.clean, names=["a", "b"], width=1)


DRAWERS = {
    "history": (dynamics, history, "asr"),
    "points": (embeddings, points, "hit"),
    "outcomes": (lambda outcomes: defence_map(outcomes, titles=TITLES), tried, "defence"),
    "curves": (roc, curves, "x"),
    "moves": (lambda moves: arrows(moves, x_label="", y_label=""), moved, "before_x"),
    "rows": (lambda rows: readings(rows, measures=["neighbour_mixing"]), lambda: frame(row()), "status"),
}


@pytest.mark.parametrize("argument", DRAWERS)
def test_frames_are_checked(argument):
    draw, make, column = DRAWERS[argument]
    with pytest.raises(ValueError, match=rf"{argument}: expected the columns .*; missing {column}; received .*arm"):
        draw(make().drop(columns=column))
    with pytest.raises(ValueError, match=rf"{argument}: expected at least one row, received an empty frame"):
        draw(make().iloc[:0])
    with pytest.raises(ValueError, match=rf"{argument}: expected a pandas DataFrame, received list"):
        draw([1, 2])
    table = make()
    before = table.copy()
    draw(table)
    pd.testing.assert_frame_equal(table, before)  # the caller's frame is not touched


@pytest.mark.parametrize("width", [ONE_COLUMN, TWO_COLUMN])
def test_panels_and_labels_do_not_overlap(width):
    table = frame(*[row(arm, measure=measure) for arm in ARMS for measure in ("acc", "asr", "silhouette", "cka")])
    for figure in (
        readings(table, measures=["acc", "asr", "silhouette", "cka"], width=width),
        embeddings(points(), width=width),
        dynamics(history(), width=width),
        defence_map(tried(), titles=TITLES, width=width),
        roc(curves(), width=width),
        arrows(moved(), x_label="mixing", y_label="ASR", width=width),
        geometry(*two_ways(), arms=("supervised-dirty", "simclr-clean"), width=width),
        summed_up(width=width),
    ):
        figure.draw_without_rendering()
        boxes = [axes.get_tightbbox() for axes in figure.findobj(matplotlib.axes.Axes)]
        boxes += [legend.get_window_extent() for legend in figure.findobj(matplotlib.legend.Legend)]
        canvas = figure.bbox
        for box in boxes:
            assert box.x0 >= canvas.x0 - 1
            assert box.x1 <= canvas.x1 + 1
            assert box.y0 >= canvas.y0 - 1
            assert box.y1 <= canvas.y1 + 1
        shrunk = [box.padded(-1) for box in boxes]
        assert not any(a.overlaps(b) for i, a in enumerate(shrunk) for b in shrunk[i + 1 :])
