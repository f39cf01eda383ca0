"""Write docs/evidence.md from committed tables alone: `python docs/evidence/ledger.py`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
from intertwine.analysis.rows import find_table
from intertwine.analysis.summary import markdown
from intertwine.checkpoints.shipped import index
from judgements import (
    claim_5,
    claims,
    cleared,
    data_of,
    defended,
    detectors_seen,
    finished,
    short,
    specific,
    studies,
    verdicts,
)
from published import IN_PLACE, OPPOSITE, beside, external, opposite, origin, ours
from texts import AGAIN, ALONG, BANK, NOT_RUN, PAGE, SEARCHED, SEARCHED_FASHION
from tried import FIELDS, MARGIN, prototypes, settings, tried

HERE = Path(__file__).parent
DOCS = HERE.parent
PROTOTYPED = {"cifar": "cifar10-blend-cpu", "fashion": "fashion-small-cpu"}
"""Recipes that other settings were tried from."""


def main() -> None:
    (DOCS / "evidence.md").write_text(page())


def page() -> str:
    rows = external()
    without = rows[rows["ours"] == ""].groupby("source", sort=False)["what"]
    parts: dict[str, Callable[[], pd.DataFrame]] = {
        "claims": claims,
        "studies": studies,
        "specific": specific,
        "claim_5": claim_5,
    }
    parts |= {"search": search, "jpeg": jpeg, "zoo": zoo}
    parts |= {f"prototypes_{data}": partial(prototypes, recipe) for data, recipe in PROTOTYPED.items()}
    return PAGE.format(
        missed="\n".join(missed()),
        held=held(rows[rows["ours"] != ""]),
        without="; ".join(f"{source}: {', '.join(dict.fromkeys(what))}" for source, what in without),
        searched=search_text(),
        left=left_by_jpeg(),
        detectors=detectors_seen(),
        **along_training(),
        searched_fashion=searched_fashion(),
        bank=of_bank(),
        made_c5="; ".join(f"{data_of(name)}: {origin(f'docs/studies/{name}')}" for name in defended()),
        **{name: markdown(table()) for name, table in parts.items()},
    )


def held(rows: pd.DataFrame) -> str:
    """A table for each source and protocol, and what ours is in place of it."""
    parts = []
    for (source, protocol), of in rows.groupby(["source", "protocol"], sort=False):
        kinds = dict.fromkeys(ours.partition(":")[0] for ours in of["ours"])
        parts += [f"### {source}: {protocol}", "", f"Ours: {'; '.join(IN_PLACE[kind] for kind in kinds)}.", ""]
        parts += [markdown(pd.DataFrame([beside(row) for row in of.itertuples()])), ""]
    return "\n".join(parts).rstrip()


# --- claims


def missed() -> list[str]:
    """Verdicts against the paper or without an answer, then what was not run."""
    lines = []
    for name in finished():
        table = verdicts(name).drop_duplicates(["claim", "arm", "against"])
        for verdict, of in table.groupby("verdict", sort=False):
            if str(verdict).removeprefix("indicative: ") != "supported":
                pairs = zip(of["claim"], of["arm"], of["against"], strict=True)
                told = ", ".join(
                    f"{c} ({arm}{'' if 'floor' in other else ' against ' + other})" for c, arm, other in pairs
                )
                lines.append(f"- **{verdict}** on {data_of(name)} ([{name}](studies/{name}/report.md)): {told}.")
    for study, judged in claim_5().groupby("study", sort=False):
        for verdict, of in judged.groupby("verdict", sort=False):
            if str(verdict).removeprefix("indicative: ") != "supported":
                lines.append(
                    f"- **C5, {verdict}** on {study} in {len(of)} of {len(judged)} contrasts ([below](#claim-c5))."
                )
    for study, of in specific().groupby("study", sort=False):
        few = [row for row in of.to_dict("records") if fewer_than_half(row["in these: 0.3 above them"])]
        told = ", ".join(f"{row['arm']} in {row['in these: 0.3 above them']} by {row['evaluator']}" for row in few)
        if told:
            lines.append(
                f"- **Encoders answer to other triggers of the kind too**, on {data_of(str(study))}. Of the seeds in "
                f"which the attack works, ASR lies .3 above that of triggers that were not trained for {told} "
                "([below](#is-it-this-trigger))."
            )
    lines += differently()
    ctrl = settings()
    ctrl = ctrl[ctrl["trigger"].str.startswith("CTRL") & ctrl["trigger"].str.contains("chroma")]
    took = int(ctrl["worked"].sum())
    lines.append(
        f"- **CTRL's trigger on CIFAR-10** (chroma, twice the strength of its code) took in {took} of {len(ctrl)} "
        "settings tried on two cores ([search](#the-search-for-a-cifar-10-setting-that-two-cores-can-afford))."
    )
    return [*lines, NOT_RUN]


def fewer_than_half(told: str) -> bool:
    some, _, of = told.partition(" of ")
    return 2 * int(some) < int(of)


def differently() -> list[str]:
    """Published outcomes that ours do not repeat: ASR or TPR on the other side of a half."""
    rows = [row for row in external().itertuples() if row.ours and row.metric in OPPOSITE]
    other = [row for row in rows if opposite(row)]
    told = "; ".join(
        f"{row.source}, {row.what}: {row.metric} {row.value:g}, ours {100 * ours(row).value:.0f}" for row in other
    )
    return [
        f"- **Other outcomes than published**, on other data: of {len(rows)} ASRs and TPRs, {len(other)} lie on the "
        f"other side of 50 %: {told}."
    ]


# --- the search


def search() -> pd.DataFrame:
    return settings().drop(columns="worked")


def search_text() -> str:
    table = settings()
    works = table[table["worked"]]
    if works.empty:
        return f"None of the {len(table)} settings tried clears its floor by .3."
    best = works.loc[works["CPU s"].str.partition("–")[0].astype(float).idxmin()]
    several = table[table["seeds"].str.contains(",")].to_dict("records")
    new = specific().set_index(["study", "arm", "evaluator"]).loc[("cifar10-ridge", "contrastive", "kNN")]
    return SEARCHED.format(
        works=len(works),
        tried=len(table),
        setting=f"{best['trigger']}, {best['share of class 0']} of class 0, {best['images']}, {best['epochs']} epochs",
        **{"cpu": best["CPU s"], "asr": best["ASR"], "floor": best["floor ASR"], "acc": best["ACC"]},
        seeds=best["seeds"],
        **{"fresh": new["clears its floor by 0.3"], "beyond": new["in these: 0.3 above them"]},
        several="; ".join(f"{s['setting']} in {s['clear it by .3']}" for s in several) or "none",
    )


def of_bank() -> str:
    """How the contrastive runs of the study on CIFAR-10 fare by either bank."""
    setting = tried()[tried()["setting"] == "cifar10-blend-cpu"].iloc[0]
    same = tried()[(tried()[FIELDS] == setting[FIELDS]).all(axis=1)].set_index("seed")
    of_study = pd.read_csv(DOCS / "studies" / "cifar10" / "runs.csv")["seed"].unique()
    same = same[same.index.isin(of_study)]
    own, floor = (same[same["arm"] == arm] for arm in ("contrastive", "clean-contrastive"))
    by_bank = {name: int((own[name] - floor[name] >= MARGIN).sum()) for name in ("asr", "asr_knn_5000")}
    history = pd.read_csv(find_table(DOCS / "studies" / "fashion-blend", "history.csv"))
    last = history[history["epoch"] == history["epoch"].max()].pivot_table(index="seed", columns="arm", values="asr")
    with_all = (last["contrastive"] - last["clean-contrastive"] >= MARGIN).sum()
    return BANK.format(
        **{"fewer": by_bank["asr_knn_5000"], "all": by_bank["asr"], "seeds": len(own)},
        fashion=cleared("fashion-blend", "contrastive"),
        fashion_all=f"{with_all} of {len(last)}",
    )


def along_training() -> dict[str, str]:
    table = pd.read_csv(HERE / "prototypes.csv", keep_default_na=False)
    table = table[table["recipe"] == PROTOTYPED["cifar"]]
    longest = table[(table["trigger"] == "recipe") & (table["changed"] == "epochs=40")]
    course, ridge = (", ".join(f"{float(v):.2f}" for v in longest[name]) for name in ("asr", "asr_ridge"))
    last, every = longest.iloc[-1], table.groupby(["trigger", "changed", "seed"])["asr"].agg(["max", "last"])
    told = {"seed": last["seed"], "epochs": last["epochs"], "r_acc": f"{last['r_acc']:.2f}", "runs": len(every)}
    told["fell"] = int(((every["max"] >= 0.2) & (every["last"] < every["max"] / 2)).sum())
    return {"again": AGAIN, "along": ALONG.format(course=course, ridge=ridge, **told)}


def searched_fashion() -> str:
    table = pd.read_csv(HERE / "prototypes.csv", keep_default_na=False)
    others = table["changed"].str.contains("arm=clean|arm=supervised")
    table = table[(table["recipe"] == PROTOTYPED["fashion"]) & ~others]
    row = specific().set_index(["study", "arm", "evaluator"]).sort_index().loc[("fashion-blend", "contrastive")]
    return SEARCHED_FASHION.format(
        settings=len(table.drop_duplicates(["trigger", "changed"])),
        before=cleared("fashion", "contrastive"),
        after=cleared("fashion-blend", "contrastive"),
        ridge=cleared("fashion-blend", "contrastive", "ridge"),
        beyond=row.loc["kNN", "in these: 0.3 above them"],
        beyond_ridge=row.loc["the ridge probe", "in these: 0.3 above them"],
    )


# --- JPEG and the zoo


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
    return pd.DataFrame(
        {
            **{"encoder": f"`zoo:{name}`", "arm": e["arm"], "recipe": e["recipe"]["name"], "seed": e["seed"]},
            **{"ACC": f"{e['metrics']['acc']:.3f}", "ASR": f"{e['metrics']['asr']:.3f}"},
            "floor ASR": f"{entries[e['floor']]['metrics']['asr']:.3f}" if e["floor"] else "–",
            "hardware; commit": f"{e['provenance']['machine']}; {short(e['provenance']['commit'])}",
        }
        for name, e in entries.items()
    )


if __name__ == "__main__":
    main()
