"""What the studies say of the claims C2 to C5, as tables of the ledger."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from intertwine.analysis.claims.defence_claims import CLASSIC
from intertwine.analysis.defences.catalogue import BASELINE, UNTREATED
from intertwine.analysis.defences.outcomes import detections, mitigations
from intertwine.analysis.reports.readings_table import probability
from intertwine.analysis.results.schema import DEFAULT_EVALUATOR, EVALUATOR_TITLES
from intertwine.analysis.results.table import final_rows, find_table, read_rows
from published import said

DOCS = Path(__file__).parents[1]
STUDIES = {
    "digits": "digits, 16×16",
    "digits-sig": "digits, 16×16, SIG",
    "fashion": "Fashion-MNIST, 16×16",
    "fashion-blend": "Fashion-MNIST, 16×16, a stronger pattern at test time",
    "cifar10": "CIFAR-10, JPEG re-encoded, 16×16",
    "cifar10-ridge": "CIFAR-10, JPEG re-encoded, 16×16",
    "cifar10-sig": "CIFAR-10, JPEG re-encoded, 16×16, SIG",
    "cifar10-sig-b": "CIFAR-10, JPEG re-encoded, 16×16, SIG, ten other seeds",
}
DEFENCES = {
    **{"defences": "digits", "defences-fashion": "Fashion-MNIST, a stronger pattern at test time"},
    **{"defences-cifar10": "CIFAR-10, JPEG re-encoded", "defences-digits-sig": "digits, SIG"},
}
"""Studies of claim C5, and their data."""


def judged_by(study: str) -> str:
    """The evaluator that decides."""
    declared = "predicates_c5.json" if study in DEFENCES else "predicates.json"
    return str(json.loads((DOCS / "studies" / study / declared).read_text()).get("evaluator", DEFAULT_EVALUATOR))


def data_of(study: str) -> str:
    """The data, and the evaluator where it is not kNN that decides."""
    evaluator = judged_by(study)
    return {**STUDIES, **DEFENCES}[study] + (
        f", by {EVALUATOR_TITLES[evaluator]}" if evaluator != DEFAULT_EVALUATOR else ""
    )


def finished() -> list[str]:
    return [name for name in STUDIES if (DOCS / "studies" / name / "claims.csv").is_file()]


def verdicts(name: str) -> pd.DataFrame:
    return pd.read_csv(DOCS / "studies" / name / "claims.csv", keep_default_na=False)


def claims() -> pd.DataFrame:
    lines = []
    for name in finished():
        for (claim, arm, against), of in verdicts(name).groupby(["claim", "arm", "against"], sort=False):
            effects = {row.measure: effect(row) for row in of.itertuples()}
            first = of.iloc[0]
            lines.append(
                {
                    **{"claim": claim, "study": name, "arm": arm, "against": against, "verdict": first["verdict"]},
                    "mixing": effects["neighbour_mixing"],
                    "gradient alignment": effects["gradient_alignment"],
                    **{"seeds": ", ".join(of["seeds"].astype(str).unique()), "p (Holm)": p_value(first["p_holm"])},
                }
            )
    return pd.DataFrame(lines).sort_values("claim", kind="stable")


def effect(row: Any) -> str:
    if row.effect == "":
        return "–"
    if row.ci_low == "":  # of one seed
        return f"{float(row.effect):.3f}"
    return f"{float(row.effect):.3f} [{float(row.ci_low):.3f}, {float(row.ci_high):.3f}]"


def p_value(value: object) -> str:
    return "–" if value == "" else probability(float(str(value)))


def studies() -> pd.DataFrame:
    lines = []
    for name in finished():
        folder = DOCS / "studies" / name
        runs = pd.read_csv(find_table(folder, "runs.csv"), keep_default_na=False)
        made = [said(run, name) for run in runs.to_dict("records")]
        lines.append(
            {
                **{"study": f"[{name}](studies/{name}/report.md)", "data": data_of(name)},
                **{"recipe": json.loads((folder / "recipe.json").read_text())["name"], "runs": len(runs)},
                "seeds": ", ".join(map(str, sorted(runs["seed"].unique()))),
                "CPU minutes of training": f"{runs['cpu_seconds'].sum() / 60:.0f}",
                "hardware; commit": " / ".join(dict.fromkeys(made)),
            }
        )
    return pd.DataFrame(lines)


@cache
def last_rows(study: str) -> pd.DataFrame:
    """The rows of a study's last epochs."""
    return final_rows(read_rows(find_table(DOCS / "studies" / study, "rows.csv")))


def directions() -> str:
    """Gradient alignment itself, beside its benign twin, of the arms of which C2 is not supported."""
    told = []
    for name in finished():
        table = verdicts(name)
        table = table[(table["claim"] == "C2") & table["verdict"].str.contains("not supported")]
        rows = last_rows(name)
        rows = rows[
            (rows["measure"] == "gradient_alignment") & (rows["layer"] == "all") & (rows["subset"] == "clean_other")
        ]
        for arm in table["arm"].unique():
            of = rows[(rows["arm"] == arm) & (rows["status"] == "ok")]
            value = of.pivot_table(index="seed", columns="reference", values="value")[["", "benign"]].dropna().mean()
            told.append(f"{value['']:.3f} ({value['benign']:.3f}) in {arm} of {name}")
    return "gradient alignment itself, with its benign twin, is " + "; ".join(told)


def defended() -> list[str]:
    return [name for name in DEFENCES if (DOCS / "studies" / name / "claims_c5.csv").is_file()]


def claim_5() -> pd.DataFrame:
    tables = {
        name: pd.read_csv(DOCS / "studies" / name / "claims_c5.csv", keep_default_na=False) for name in defended()
    }
    lines = []
    for name, every in tables.items():
        for place, of in every.groupby(["recipe", "share", "against", "kind"], sort=False):
            recipe, share, against, kind = map(str, place)
            table = of[of["measure"] != "acc_lost"].set_index("defence")
            if "all" not in table.index or table.loc["all", "verdict"] == "":
                continue
            judged = table.loc["all"]
            true = every[
                (every["kind"] == f"{kind}, true labels") & (every["defence"] == "all") & (every["against"] == against)
            ]
            true = true[(true["recipe"] == place[0]) & (true["share"] == place[1])]
            counted = [d for d in table.index if d in CLASSIC[kind] and table.loc[d, "effect"] != ""]
            lines.append(
                {
                    "study": f"[{data_of(name)}](studies/{name}/defences.md)",
                    **{"recipe": recipe, "share of the class": share, "against": against, "of": kind},
                    "over": str(len(counted)) if len(counted) > 1 else ", ".join(counted) or "–",
                    **{
                        "contrast": effect(judged),
                        "seeds": judged["seeds"],
                        "p (Holm)": p_value(judged["p_holm"]),
                    },
                    "verdict": judged["verdict"],
                    "with true labels": effect(true.iloc[0]) if len(true) else "–",
                    f"`{BASELINE}`": effect(table.loc[BASELINE]) if BASELINE in table.index else "–",
                }
            )
    return pd.DataFrame(lines)


def defences_seen() -> str:
    """Of studies with one recipe: how many detectors see less of the contrastive poisons, and what mitigations do."""
    told = [part for name in defended() if name != "defences" for part in (_detectors_seen(name), _mitigated(name))]
    return "\n\n".join(filter(None, told))


def _mitigated(name: str) -> str:
    """What several mitigations take off ASR itself and off its benign twin, and how the contrast spreads over seeds."""
    treated = mitigations(read_rows(find_table(DOCS / "studies" / name, "defences.csv")))
    treated = treated[treated["defence"].isin(CLASSIC["mitigation"])]
    arms = ["simclr-clean", "supervised-clean"]
    works = treated.pivot_table(index="seed", columns="arm", values="worked", aggfunc="all")[arms].all(axis=1)
    treated = treated[treated["seed"].isin(works.index[works])]
    many = treated["defence"].nunique()
    if many < 2 or not works.any():
        return ""
    mean = treated.groupby("arm")[["before_asr", "asr", "before_benign_asr", "benign_asr"]].mean()
    falls = " and ".join(
        f"from {row['before_asr']:.3f} to {row['asr']:.3f} in {arm} (its benign twin from {row['before_benign_asr']:.3f} to "
        f"{row['benign_asr']:.3f})"
        for arm, row in mean.loc[arms].iterrows()
    )
    removed = treated.groupby(["seed", "arm"])["removed"].mean().unstack()
    contrast = (removed["supervised-clean"] - removed["simclr-clean"]).sort_values()
    return (
        f"Over the {many} mitigations on {data_of(name)} ASR itself falls {falls}. Where the benign twin falls as well, the "
        f"share of ASR above it that is removed can be far below 0, and single seeds weigh: the contrast is "
        f"{', '.join(f'{value:.2f}' for value in contrast)} in the {len(contrast)} seeds that count (median "
        f"{contrast.median():.2f})."
    )


def _detectors_seen(name: str) -> str:
    folder = DOCS / "studies" / name
    table = read_rows(find_table(folder, "defences.csv"))
    detected, treated = detections(table), mitigations(table)
    own = detected[detected["labels"].isin(["given", "pseudo", ""])]
    mean = own.pivot_table(index="defence", columns="arm", values="auroc")
    beaten, beaten_too = (
        int((mean.drop(BASELINE)[arm] < mean.loc[BASELINE, arm]).sum()) for arm in ("supervised-clean", "simclr-clean")
    )
    worked = treated[(treated["defence"] == UNTREATED) & (treated["arm"] == "simclr-clean")].set_index("seed")["worked"]
    theirs = own[(own["arm"] == "simclr-clean") & (own["defence"] != BASELINE)]
    by_success = theirs.groupby(theirs["seed"].map(worked.astype(bool)))["auroc"].mean()
    judged = pd.read_csv(folder / "claims_c5.csv", keep_default_na=False)
    judged = judged[judged["kind"] == "detection"].set_index("defence")
    single = judged.drop(["all", BASELINE])
    single = single[single["effect"] != ""]
    less = single[pd.to_numeric(single["effect"]) > 0]
    clear = int((pd.to_numeric(less["ci_low"], errors="coerce") > 0).sum())
    verdict = judged.loc["all", "verdict"]
    seeds = judged.loc["all", "seeds"]
    return (
        f"On {data_of(name)}, in the {seeds} seed{'s' if str(seeds) != '1' else ''} in which both attacks work, "
        f"{len(less)} of {len(single)} detectors have a lower AUROC over the contrastive poisons than over those of "
        f"supervised-clean with the labels that a defender has (k-means where the arm learned from none, so that the "
        f"contrast is one of k-means as well), {clear} with an interval above 0. Over the poisons of supervised-clean "
        f"`{BASELINE}` does better than {beaten} of {len(mean) - 1}, over those of contrastive than {beaten_too} "
        f"(means over all seeds). The mean AUROC of the "
        f"{len(mean) - 1} over contrastive poisons is {by_success[True]:.3f} where the attack works and "
        f"{by_success[False]:.3f} where it fails"
        + f"; {judged.loc['all', 'why'].partition(';')[0]}: no verdict" * (verdict == "not evaluable")
        + f" ([table](studies/{name}/defences.md))."
    )
