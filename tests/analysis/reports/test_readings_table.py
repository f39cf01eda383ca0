"""The one table that a reader sees first: references, and means over seeds."""

from intertwine.analysis.panel import PanelOptions, panel
from intertwine.analysis.panel.reading_sets import ReadingSet
from intertwine.analysis.panel.readings import ERASURE
from intertwine.analysis.reports.readings_table import across_seeds, readings_table, summary
from intertwine.analysis.results.measures import RATES

from tests.factories import row, table


def test_what_erasing_costs_is_shown(planted):
    args, more = planted(1.0, 0.6)
    chosen = ReadingSet(frozenset({*RATES, *ERASURE}), references=frozenset({"benign"}), layers=("features",))
    lines = summary(panel(*args, **more, options=PanelOptions(chosen)))
    assert {"erasure_cost_acc (triggered)", "erasure_cost_asr (triggered)"} <= set(lines["reading"])


def of_seed(seed, mixing, status="ok", benign=0.1, random=None, run="simclr-clean"):
    """Mixing of hits, its references, and ASR by both evaluators."""
    name, where = f"{run}/seed{seed}", {"subset": "hits"}
    yield row(name, "neighbour_mixing", mixing, status=status, interval=(mixing - 0.1, mixing + 0.1), **where)
    yield row(name, "neighbour_mixing", benign, "benign", other_run=f"simclr-benign/seed{seed}", **where)
    yield row(name, "neighbour_mixing", 1.0, "together", **where)
    yield row(name, "asr", 0.9, subset="triggered")
    yield row(name, "asr", 0.5, subset="triggered", evaluator="ridge", decides=False)
    yield row(name, "asr", 0.2, subset="triggered", evaluator="native", decides=False)
    if random is not None:
        yield row(name, "asr", random, "random-trigger", subset="triggered")


def test_a_reading_has_its_references_in_columns_of_their_own():
    lines = readings_table(table(*of_seed(0, 0.5))).set_index("reading")
    rates = ["asr [knn]", "asr [native]", "asr [ridge]"]
    assert lines.index.tolist() == [*rates, "neighbour_mixing (hits)"], "the one that decides first"
    assert lines.loc[rates, "value"].tolist() == ["0.900", "0.200", "0.500"]
    line = lines.loc["neighbour_mixing (hits)"]
    assert line[["value", "95 % interval", "benign twin", "together", "random trigger"]].tolist() == [
        *("0.500", "[0.400, 0.600]", "0.100", "1.000", "–")
    ]


def test_with_three_seeds_it_is_means_over_those_that_count():
    seeds = [of_seed(0, 0.5, benign=0.1), of_seed(1, 0.7, benign=0.2), of_seed(2, 0.0, "too_few_hits", benign=0.9)]
    line = readings_table(table(*(r for s in seeds for r in s))).set_index("reading").loc["neighbour_mixing (hits)"]
    assert line[["mean", "benign twin", "together", "apart"]].tolist() == ["0.600", "0.150", "1.000", "–"]
    assert line[["seeds", "left out"]].tolist() == ["2 of 3", "too_few_hits"]


def test_the_interval_of_a_rate_over_seeds_stays_between_0_and_1():
    """Student's of 1, 1 and .9 ends at 1.11."""
    rates = [row(f"simclr-clean/seed{i}", "asr", v, subset="triggered") for i, v in enumerate((1.0, 1.0, 0.9))]
    line = readings_table(table(*rates)).iloc[0]
    assert (line["mean"], line["95 % interval"]) == ("0.967", "[0.253, 1.000]")


def test_other_triggers_are_a_column_where_all_seeds_were_shown_them():
    both, one = [*of_seed(0, 0.5, random=0.2), *of_seed(1, 0.5, random=0.4)], [*of_seed(0, 0.5, random=0.2)]
    assert across_seeds(table(*both)).set_index("reading").loc["asr [knn]", "random trigger"] == "0.300"
    part = across_seeds(table(*one, *of_seed(1, 0.5))).set_index("reading")
    assert part.loc["asr [knn]", "random trigger"] == "–", "a mean of other seeds than the line's is no reference"
    assert "random trigger" not in across_seeds(table(*of_seed(0, 0.5), *of_seed(1, 0.5)))


def test_the_middle_layer_of_other_networks_is_shown_too():
    rows = [row("x/seed0", "mediation", 0.3, layer=layer, subset="hits") for layer in ("block1", "block2", "features")]
    line = summary(table(*rows)).iloc[0]
    assert (line["reading"], line["value"]) == ("mediation (hits)", "0.300")
    assert len(summary(table(*rows))) == 1
