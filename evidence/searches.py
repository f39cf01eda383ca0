"""The parts of docs/evidence/tried.md: how benches were looked for, and what came of it."""

from pathlib import Path

import pandas as pd
from intertwine.analysis.reports.readings_table import markdown
from intertwine.analysis.results.schema import EVALUATOR_TITLES
from judgements import finished
from on_gpu import PART
from published import short, trained_on_gpu
from specificity import ABOVE, CLEARS, cleared, specific
from texts_tried import AGAIN, ALONG, OFFICIAL, SEARCHED, SEARCHED_FASHION, SIG, SIG_STUDIED
from third_party import along, at_the_end, ranged
from tried import prototypes, settings

HERE = Path(__file__).parent
PROTOTYPED = {"cifar": "cifar10-blend-cpu", "fashion": "fashion-small-cpu", "sig": "cifar10-sig-cpu"}
"""Recipes that other settings were tried from."""
WAVE = "trigger=sinusoid"
SIG_STUDY = "cifar10-sig"


def searches() -> dict[str, str]:
    """What stands in the braces of the page."""
    parts = {f"prototypes_{data}": markdown(prototypes(recipe)) for data, recipe in PROTOTYPED.items()}
    parts |= {"searched": search_text(), "search": markdown(settings().drop(columns="worked"))}
    parts |= {"searched_fashion": searched_fashion(), "sig": sig(), **along_training()}
    official = pd.read_csv(HERE / "official.csv")
    told = OFFICIAL.format(
        ours=official.loc[official["whose"] == "ours, contrastive", "epoch"].max(),
        **{f"{log}_ends": at_the_end(log) for log in ("first", "second")},
        **{f"{log}_late": ranged(log, 751, 1000) for log in ("first", "second")},
    )
    beside = pd.concat([by_gpu(), official]).rename(columns={"of": "of epochs"})
    parts |= {f"beside_{log}": how_far(log) for log in ("first", "second")}
    return parts | {
        "official_text": told,
        "logs": markdown(along()),
        "first_epochs": markdown(first_epochs()),
        "official": markdown(beside),
    }


def first_epochs() -> pd.DataFrame:
    """A few epochs at full width beside a log, as ``first_epochs.py`` wrote them."""
    table = pd.read_csv(HERE / "first_epochs.csv")
    made = table[["machine", "torch", "commit"]].itertuples(index=False)
    return pd.DataFrame(
        {
            **{"epoch": table["epoch"], "rate at its end": table["lr"].map("{:.4f}".format)},
            "ours": table["loss"].map("{:.2f}".format),
            **{f"the {log} log": table[log].map("{:.2f}".format) for log in ("first", "second")},
            "CPU s in all": table["cpu_seconds"],
            "hardware; commit": [f"{m}, torch {t.partition('+')[0]}; {short(c)}" for m, t, c in made],
        }
    )


def how_far(log: str) -> str:
    """By how much the loss of :func:`first_epochs` differs from that of a log, once there is a rate."""
    table = pd.read_csv(HERE / "first_epochs.csv")
    table = table[table["lr"] > 0]
    return " and ".join(f"{value:+.1f} %" for value in 100 * (table["loss"] / table[log] - 1))


def by_gpu() -> pd.DataFrame:
    """The contrastive pair that was trained on a GPU, as lines of ``official.csv``."""
    runs = trained_on_gpu(PART)
    runs = pd.concat([runs[runs["arm"] == arm] for arm in ("simclr-clean", "simclr-benign")])
    made = runs[["machine", "torch", "commit"]].itertuples(index=False)
    return pd.DataFrame(
        {
            "whose": [f"ours, half a ResNet-18, {arm}" for arm in runs["arm"]],
            **{"of": runs["epochs"], "epoch": runs["epoch"]},
            **{rate: (100 * runs[rate]).round(1) for rate in ("acc", "asr")},
            "hardware; commit": [f"{m}, torch {t}; {short(c)}" for m, t, c in made],
        }
    )


def in_memory() -> pd.DataFrame:
    return pd.read_csv(HERE / "prototypes.csv", keep_default_na=False)


def by_evaluator(study: str, arm: str) -> "tuple[pd.Series[str], pd.Series[str]]":
    """The lines of an arm in :func:`.specificity.specific`: by kNN, by the ridge probe."""
    table = specific().set_index(["study", "arm", "evaluator"]).sort_index()
    return table.loc[(study, arm, EVALUATOR_TITLES["knn"])], table.loc[(study, arm, EVALUATOR_TITLES["ridge"])]


def search_text() -> str:
    table = settings()
    works = table[table["worked"]]
    if works.empty:
        return f"None of the {len(table)} settings tried clears its benign twin by .3."
    many = works[works["seeds"].str.contains(",")]
    best = works.loc[works["CPU s"].str.partition("–")[0].astype(float).idxmin()]
    several = table[table["seeds"].str.contains(",")].to_dict("records")
    new, new_ridge = by_evaluator("cifar10-ridge", "simclr-clean")
    return SEARCHED.format(
        works=len(works),
        tried=len(table),
        setting=f"{best['trigger']}, {best['share of class 0']} of class 0, {best['images']}, {best['epochs']} epochs",
        **{"cpu": best["CPU s"], "asr": best["ASR"], "benign": best["benign twin ASR"], "acc": best["ACC"]},
        seeds=best["seeds"],
        **{"ridge": best["ASR, ridge"], "few": best["ASR, kNN on 5,000"], "single": len(works) - len(many)},
        **{"fresh": new[CLEARS], "beyond": new[ABOVE], "fresh_ridge": new_ridge[CLEARS]},
        beyond_ridge=new_ridge[ABOVE],
        several="; ".join(f"{s['setting']} in {s['clear it by .3']}" for s in several) or "none",
    )


def along_training() -> dict[str, str]:
    table = in_memory()
    table = table[table["recipe"] == PROTOTYPED["cifar"]]
    longest = table[(table["trigger"] == "recipe") & (table["changed"] == "epochs=40")]
    course, ridge = (", ".join(f"{float(v):.2f}" for v in longest[name]) for name in ("asr", "asr_ridge"))
    last, every = longest.iloc[-1], table.groupby(["trigger", "changed", "seed"])["asr"].agg(["max", "last"])
    told = {"seed": last["seed"], "epochs": last["epochs"], "r_acc": f"{last['r_acc']:.2f}", "runs": len(every)}
    told["fell"] = int(((every["max"] >= 0.2) & (every["last"] < every["max"] / 2)).sum())
    return {"again": AGAIN, "along": ALONG.format(course=course, ridge=ridge, **told)}


def searched_fashion() -> str:
    table = in_memory()
    others = table["changed"].str.contains("arm=clean|arm=supervised") | ~table["commit"].str.endswith("+changes")
    table = table[(table["recipe"] == PROTOTYPED["fashion"]) & ~others]
    knn, ridge = by_evaluator("fashion-blend", "simclr-clean")
    return SEARCHED_FASHION.format(
        settings=len(table.drop_duplicates(["trigger", "changed"])),
        before=cleared("fashion", "simclr-clean"),
        after=cleared("fashion-blend", "simclr-clean"),
        ridge=ridge[CLEARS],
        **{"beyond": knn[ABOVE], "beyond_ridge": ridge[ABOVE]},
    )


def sig() -> str:
    """What came of SIG's wave by data and crop, ASR as "kNN (ridge; kNN under other waves)"; and the study, if there is
    one."""
    table = in_memory()
    table = table[table["changed"].str.contains(WAVE) & ~table["changed"].str.contains("arm=")]
    last = table[table["epoch"] == table["epochs"]]
    of_fashion, wider = last["recipe"] == PROTOTYPED["fashion"], last["changed"].str.contains("crop=0.4")
    of_cifar = last["recipe"] == PROTOTYPED["cifar"]
    groups = {"fashion": of_fashion, "closer": of_cifar & ~wider, "wider": of_cifar & wider}
    told = {}
    for name, chosen in groups.items():
        rates = last.loc[chosen, ["asr", "asr_ridge", "asr_random"]].astype(float).map("{:.3f}".format)
        lines = zip(last.loc[chosen, "seed"], rates.itertuples(index=False), strict=True)
        told[name] = "; ".join(f"{r.asr} ({r.asr_ridge}; {r.asr_random}) with seed {seed}" for seed, r in lines)
    text = SIG.format(**told)
    if SIG_STUDY not in finished():
        return text
    knn, ridge = by_evaluator(SIG_STUDY, "simclr-clean")
    return f"{text} " + SIG_STUDIED.format(
        **{"knn": knn[CLEARS], "ridge": ridge[CLEARS], "beyond": knn[ABOVE], "beyond_ridge": ridge[ABOVE]}
    )
