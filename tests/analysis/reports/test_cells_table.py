"""The table of cells: rates of every evaluator, and primaries over backdoored seeds between their ends."""

import pandas as pd
from intertwine.analysis.reports.cells_table import cells_table, primaries_of
from intertwine.analysis.reports.labels import LABELS

from tests.analysis.claim_rows import APART, CELLS, ONE, study_of
from tests.factories import row, table


def planted(*, seeds=3, **options):
    arms = {arm: ONE if arm == "simclr-clean" else APART for arm in CELLS}
    rates = [
        row(f"{arm}/seed{seed}", measure, value, reference, subset=subset, evaluator=evaluator, decides=False)
        for arm in CELLS
        for seed in range(seeds)
        for evaluator in ("knn", "ridge", "native")
        for measure, subset, reference, value in (
            *(("acc", "clean", "", 0.8), ("asr", "triggered", "", 0.9 + seed / 100)),
            ("asr", "triggered", "benign", 0.05),
        )
    ]
    return pd.concat([study_of(arms, seeds=seeds, sd=0.0, **options), table(*rates)], ignore_index=True)


def test_every_poisoned_arm_has_a_line_in_the_order_of_arms():
    found = cells_table(planted())
    assert list(found["arm"]) == ["supervised-dirty", "supervised-clean", "simclr-dirty", "simclr-clean"]
    line = found.set_index("arm").loc["simclr-clean"]
    assert line["backdoored"] == "3 of 3"
    assert line["ACC"] == "0.800"
    assert line["ASR, knn"] == line["ASR, ridge"] == line["ASR, native"] == "0.910 (0.050)"
    assert line[LABELS["smaller_side_mixing"]] == "0.900 [0.900, 0.900] (–; 0.900)"
    assert line[LABELS["collateral"]] == "–"


def test_primaries_are_those_of_backdoored_seeds():
    """Two of three attacks failed: the value and its ends are those of the other seed, without interval over seeds."""
    failed = ["simclr-clean/seed0", "simclr-clean/seed1"]
    rows = planted(failed=failed)
    rows.loc[rows["run"].isin(failed) & (rows["reference"] == "together"), "value"] = -9.0
    line = cells_table(rows).set_index("arm").loc["simclr-clean"]
    assert line["backdoored"] == "1 of 3"
    assert line[LABELS["mediation_excess"]] == "0.800 (1 seed) (–; –)"
    assert line[LABELS["smaller_side_mixing"]] == "0.900 (1 seed) (–; 0.900)"
    drawn = primaries_of(rows)
    assert set(drawn[drawn["arm"] == "simclr-clean"]["seed"]) == {2}
    assert set(drawn["measure"]) == {"smaller_side_mixing", "mediation_excess", "interference"}


def test_a_cell_that_the_claims_cannot_read_has_its_number_of_seeds_and_no_interval():
    """Mediation is undefined in two of three backdoored seeds."""
    rows = planted()
    rows.loc[
        rows["run"].isin(["simclr-clean/seed0", "simclr-clean/seed1"]) & (rows["measure"] == "mediation_excess"),
        "status",
    ] = "undefined"
    line = cells_table(rows).set_index("arm").loc["simclr-clean"]
    assert line[LABELS["mediation_excess"]] == "0.800 (1 seed) (–; –)"
    two = planted(seeds=5)
    few = [f"simclr-clean/seed{seed}" for seed in range(3)]
    two.loc[two["run"].isin(few) & (two["measure"] == "mediation_excess"), "status"] = "undefined"
    assert (
        cells_table(two).set_index("arm").loc["simclr-clean"][LABELS["mediation_excess"]].startswith("0.800 (2 seeds)")
    )
