"""Rates are of all held-out images, by every evaluator."""

from intertwine.analysis.panel import PanelOptions, panel

from tests.factories import one


def test_rates_are_of_all_images_though_few_are_drawn(planted):
    args, more = planted(1.0, 0.6)
    rows = panel(*args, **more, options=PanelOptions("silhouette", images=120, bank=150))
    whole = panel(*args, **more, options=PanelOptions("asr", bank=150, layers=["features"]))
    assert one(rows, "acc", evaluator="knn").n == 250
    assert one(rows, "silhouette", layer="features", subset="triggered").n < 120
    for rate in ("acc", "asr", "r_acc"):
        for evaluator in ("knn", "ridge"):
            assert one(rows, rate, evaluator=evaluator).value == one(whole, rate, evaluator=evaluator).value


def test_asr_as_ctrl_reports_it_counts_the_target_class_too(planted):
    """Every triggered image of the target class is a success for this rate, whatever the backdoor does."""
    args, more = planted(0.0, 0.0)
    rows = panel(*args, **more, options=PanelOptions("asr_including_target"))
    asr, including = (one(rows, name, evaluator="knn") for name in ("asr", "asr_including_target"))
    assert (asr.value, including.value) == (0.0, 0.2)
    assert (asr.n, including.n) == (200, 250)
    assert including.subset == "triggered_all"
    assert "asr_including_target" not in set(panel(*args, **more, options=PanelOptions("cheap")).measure)
