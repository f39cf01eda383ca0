"""Write docs/evidence.md and docs/evidence/tried.md from committed tables: `python docs/evidence/ledger.py`."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from answers import in_short, learning, matched, matrix, rooms, supported
from intertwine.analysis.reports.readings_table import markdown
from intertwine.analysis.results.schema import EVALUATOR_TITLES
from intertwine.analysis.results.table import find_table
from intertwine.checkpoints.shipped import index
from judgements import claim_5, claims, data_of, defences_seen, defended, directions, judged_by, studies
from on_gpu import augmented, gpu, not_run, on_gpu
from published import BOUNDED, IN_PLACE, beside, external, is_outcome, opposite, origin, ours, short
from searches import searches
from specificity import ABOVE, clean_answers, cleared, specific
from texts import BANK, PAGE
from texts_tried import TRIED
from tried import FIELDS, MARGIN, settings, tried

HERE = Path(__file__).parent
DOCS = HERE.parent


def main() -> None:
    for name, text in pages().items():
        (DOCS / name).write_text(text)


def pages() -> dict[str, str]:
    """The two pages, by their place under docs."""
    rows = external()
    without = rows[rows["ours"] == ""].groupby("source", sort=False)["what"]
    parts: dict[str, Callable[[], pd.DataFrame]] = {
        **{"in_short": in_short, "matrix": matrix, "claims": claims, "studies": studies, "matched": matched},
        **{"learning": learning, "specific": specific, "claim_5": claim_5, "jpeg": jpeg, "zoo": zoo},
        **{"gpu": gpu, "augmented": augmented},
    }
    evidence = PAGE.format(
        supported=supported(),
        rooms=rooms(),
        missed="\n".join(missed()),
        held=held(rows[rows["ours"] != ""]),
        without="; ".join(f"{source}: {', '.join(dict.fromkeys(what))}" for source, what in without),
        left=left_by_jpeg(),
        detectors=defences_seen(),
        bank=of_bank(),
        **{"clean_answers": clean_answers(), "directions": directions()},
        **on_gpu(),
        made_c5="; ".join(f"{data_of(name)}: {origin(f'docs/studies/{name}')}" for name in defended()),
        **{name: markdown(table()) for name, table in parts.items()},
    )
    return {"evidence.md": evidence, "evidence/tried.md": TRIED.format(**searches())}


def held(rows: pd.DataFrame) -> str:
    """A table for each source and protocol, and what ours is in place of it."""
    parts = []
    for (source, protocol), of in rows.groupby(["source", "protocol"], sort=False):
        kinds = dict.fromkeys(ours.partition(":")[0] for ours in of["ours"])
        parts += [
            f"### {source}: {protocol}",
            "",
            f"Ours: {'; '.join(dict.fromkeys(IN_PLACE[kind] for kind in kinds))}.",
            "",
        ]
        parts += [markdown(pd.DataFrame([beside(row) for row in of.itertuples()])), ""]
    return "\n".join(parts).rstrip()


# --- claims


def missed() -> list[str]:
    """What the verdicts do not say, then what was not run."""
    lines = []
    for study, of in specific().groupby("study", sort=False):
        judge = EVALUATOR_TITLES[judged_by(str(study))]
        first = of[of["evaluator"] == judge]
        others = of[(of["evaluator"] != judge) & of[ABOVE].map(fewer_than_half)]
        told = "; ".join(f"{row['arm']} in {row[ABOVE]}" for row in first.to_dict("records"))
        beside = ", ".join(f"{row['arm']} in {row[ABOVE]} by {row['evaluator']}" for row in others.to_dict("records"))
        high = [row for row in first.to_dict("records") if row["benign"] != "–" and float(row["benign"]) >= MARGIN]
        benign_twins = ", ".join(f"that of {row['arm']} has {row['benign']} (mean)" for row in high)
        lines.append(
            f"- **Is it this trigger?** On {data_of(str(study))}: of the seeds in which the attack works by {judge}, "
            f"ASR lies .3 above that of triggers that were not trained: {told}"
            + f". Clean encoders answer to it too: {benign_twins}" * bool(high)
            + f". By other evaluators, where it does in fewer than half: {beside}" * bool(beside)
            + " ([below](#is-it-this-trigger))."
        )
    lines += differently()
    ctrl = settings()
    ctrl = ctrl[ctrl["trigger"].str.startswith("CTRL") & ctrl["trigger"].str.contains("chroma")]
    took = int(ctrl["worked"].sum())
    lines.append(
        f"- **CTRL's trigger on CIFAR-10** (chroma, twice the strength of its code) took in {took} of {len(ctrl)} "
        "settings tried on two cores ([search](evidence/tried.md))."
    )
    return [*lines, not_run()]


def fewer_than_half(told: str) -> bool:
    some, _, of = told.partition(" of ")
    return 2 * int(some) < int(of)


def differently() -> list[str]:
    """Published outcomes that ours do not repeat: ASR or TPR on the other side of a half."""
    rows = [row for row in external().itertuples() if row.ours and is_outcome(row)]
    other = [row for row in rows if opposite(row)]
    told = "; ".join(
        f"{row.source}, {row.what}: {row.metric} {row.value:g}, ours {100 * ours(row).value:.0f}" for row in other
    )
    return [
        f"- **Other outcomes than published**, on other data, networks or lengths of training: of {len(rows)} ASRs "
        f"and TPRs, {len(other)} lie on the other side of 50 % (one of ours may stand beside several; "
        f"{' '.join(BOUNDED)} is not counted, which cannot reach a half here): {told}."
    ]


# --- the bank, JPEG and the zoo


def of_bank() -> str:
    """How the contrastive runs of the study on CIFAR-10 fare by either bank."""
    setting = tried()[tried()["setting"] == "cifar10-blend-cpu"].iloc[0]
    same = tried()[(tried()[FIELDS] == setting[FIELDS]).all(axis=1)].set_index("seed")
    of_study = pd.read_csv(DOCS / "studies" / "cifar10" / "runs.csv")["seed"].unique()
    same = same[same.index.isin(of_study)]
    own, benign = (same[same["arm"] == arm] for arm in ("simclr-clean", "simclr-benign"))
    by_bank = {name: int((own[name] - benign[name] >= MARGIN).sum()) for name in ("asr", "asr_knn_5000")}
    history = pd.read_csv(find_table(DOCS / "studies" / "fashion-blend", "history.csv"))
    last = history[history["epoch"] == history["epoch"].max()].pivot_table(index="seed", columns="arm", values="asr")
    with_all = (last["simclr-clean"] - last["simclr-benign"] >= MARGIN).sum()
    return BANK.format(
        **{"fewer": by_bank["asr_knn_5000"], "all": by_bank["asr"], "seeds": len(own)},
        fashion=cleared("fashion-blend", "simclr-clean"),
        fashion_all=f"{with_all} of {len(last)}",
    )


def jpeg() -> pd.DataFrame:
    table = pd.read_csv(HERE / "jpeg.csv")
    table["of"] = table["channel"] + " at " + table["coefficient"]
    left = table.pivot_table("share_left", "images", "of", sort=False).map(lambda v: f"{v:.3f}")
    size = table.pivot_table("median_without", "images", "of", sort=False).map(lambda v: f" ({v:.2f})")
    return (left + size).reset_index().assign(n=table.groupby("images", sort=False)["n"].first().tolist())


def left_by_jpeg() -> str:
    table = pd.read_csv(HERE / "jpeg.csv")
    halved = table[table["images"].str.contains("4:2:0")].groupby("images", sort=False)["share_left"].max()
    return " and ".join(
        f"at most {100 * v:.1f} % (quality {k.partition('quality ')[2][:2]})" for k, v in halved.items()
    )


def zoo() -> pd.DataFrame:
    entries = index()
    others = pd.read_csv(HERE / "zoo_rates.csv").set_index("name")
    return pd.DataFrame(
        {
            **{"encoder": f"`zoo:{name}`", "arm": e["arm"], "recipe": e["recipe"]["name"], "seed": e["seed"]},
            **{"ACC": f"{e['metrics']['acc']:.3f}", "ASR": f"{e['metrics']['asr']:.3f}"},
            "benign twin ASR": f"{entries[e['benign']]['metrics']['asr']:.3f}" if e["benign"] else "–",
            **by_others(others.loc[name] if e["benign"] else None),
            "hardware; commit": f"{e['provenance']['machine']}; {short(e['provenance']['commit'])}",
        }
        for name, e in entries.items()
    )


def by_others(rates: "pd.Series[float] | None") -> dict[str, str]:
    """A poisoned encoder's ASR by other evaluators, with its benign twin, and under triggers that were not trained."""
    pairs = {"kNN on 5,000": ("asr_knn_5000", "asr_knn_5000_benign"), "ridge": ("asr_ridge", "asr_ridge_benign")}
    single = {"random triggers": "asr_random", "the same, ridge": "asr_ridge_random"}
    if rates is None:
        return dict.fromkeys([*pairs, *single], "–")
    beside = {title: f"{rates[own]:.3f} ({rates[benign]:.3f})" for title, (own, benign) in pairs.items()}
    return beside | {title: f"{rates[name]:.3f}" for title, name in single.items()}


if __name__ == "__main__":
    main()
