"""Tables of what curves and interventions say: means over the seeds that count, beside their controls."""

from intertwine.analysis.reports.learning_tables import interventions_table, learning_table

from tests.factories import row, table


def of(measure, value=float("nan"), status="ok", reference="", epoch=9, seed=0, **columns):
    run, about = f"simclr-clean/seed{seed}", {"epoch": epoch, "status": status, "layer": "all"}
    return row(run, measure, value, reference, **about | columns)


def test_own_alignment_averages_what_is_told_from_noise_and_pairs_snapshots():
    """Two seeds; the benign twin of seed 0 is told from noise at epoch 2 only, seed 1 has none; epoch 0 is no
    training."""

    def own(value, status="ok", reference="", epoch=1, seed=0):
        return of("own_gradient_alignment", value, status, reference, epoch, seed)

    rows = table(
        *(own(0.99, epoch=0), own(0.99, reference="benign", epoch=0)),
        *(own(0.5), own(0.25, "not_estimable", "benign")),
        *(own(0.7, epoch=2), own(0.3, reference="benign", epoch=2)),
        *(own(0.9, "not_estimable", epoch=3), own(-0.9, reference="benign", epoch=3)),
        *(own(0.2, seed=1), own(0.1, "too_few_hits", seed=1, epoch=2)),
    )
    (line,) = learning_table(rows).to_dict("records")
    assert line["own alignment"].startswith("0.400 [")
    assert line["own alignment"].endswith(", 2 (3)")
    assert line["minus benign twin"] == "0.400 –, 1 (1)"
    assert line["minus random trigger"] == "–"


def test_the_null_of_the_coupling_is_that_of_the_runs_that_count():
    def coupled(value, seed, reference="", status="ok"):
        return of("dynamics_coupling", value, status, reference, seed=seed, kind="coupling")

    rows = [coupled(0.3, 0), coupled(0.1, 0, "cross-seed"), coupled(0.8, 1, status="too_few_hits")]
    (line,) = learning_table(table(*rows, coupled(0.9, 1, "cross-seed"))).to_dict("records")
    assert (line["coupling"], line["its null"]) == ("0.300 –, 1", "0.100")


def test_interventions_pair_seeds_and_count_those_left_out():
    def forgot(value, seed, reference="", status="ok", path="ascent"):
        return of("forgetting_coupling", value, status, reference, seed=seed, path=path, note="ASR fell by 0.9")

    rows = table(
        *(forgot(0.3, 0), forgot(0.1, 0, "benign"), forgot(0.5, 1), forgot(0.2, 1, "benign")),
        forgot(float("nan"), 2, status="too_few_hits"),
        *(forgot(0.9, 2, "benign"), forgot(0.9, 0, path="benign-only")),
    )
    line, other = interventions_table(rows).to_dict("records")
    assert (line["reading"], line["control"]) == ("forgetting coupling, ascent", "benign twin")
    assert (line["mean"], line["its mean"], line["difference"]) == ("0.400", "0.150", "0.250")
    assert (line["seeds"], line["left out"]) == ("2 of 3", "too_few_hits")
    assert (other["reading"], other["mean"], other["difference"]) == ("forgetting coupling, benign-only", "0.900", "–")
