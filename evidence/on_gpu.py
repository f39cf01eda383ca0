"""What was trained on a GPU, and what augmentation leaves of a trigger: parts of docs/evidence.md."""

from pathlib import Path

import pandas as pd
from augmented import STEPS
from intertwine.training.arms import ARMS
from published import OURS, short, trained_on_gpu
from texts import AUGMENTED, GPU, NOT_RUN
from third_party import median, ranged

HERE = Path(__file__).parent
PART = "official-half"


def on_gpu() -> dict[str, str]:
    """What stands in the braces of the page."""
    runs, last = trained_on_gpu(PART), table()
    asr, dirty = runs.set_index(["arm", "epoch"])["asr"], runs[runs["arm"] == "supervised-dirty"].iloc[0]
    above = {arm: max(v - asr[(ARMS[arm].benign, e)] for e, v in asr[arm].items()) for arm in last.index}
    end, benign = last.loc["supervised-dirty"], last.loc["supervised-benign"]
    text = GPU.format(
        seed=end["seed"],
        epochs=end["epochs"],
        dirty=f"{above.pop('supervised-dirty'):.3f}",
        others=f"{max(above.values()):.3f}",
        head=f"{end['asr_head']:.3f}",
        head_random=f"{end['asr_head_random']:.3f}",
        head_others=f"{end['asr_head_others']:.3f}",
        head_benign=f"{benign['asr_head']:.3f}",
        first=f"{dirty['loss_poison']:.2f}",
        early=dirty["epoch"],
        last=f"{end['loss_poison']:.2f}",
        r_acc=f"{end['r_acc']:.3f}",
        r_benign=f"{benign['r_acc']:.3f}",
        **{f"{log}_early": ranged(log, 1, end["epochs"]) for log in ("first", "second")},
        **{f"{log}_all": ranged(log, 1, 1000) for log in ("first", "second")},
        second_median=median("second"),
        **including(),
    )
    return {"gpu_text": text, "augmented_text": augmented_text()}


def augmented_text() -> str:
    table = pd.read_csv(HERE / "augmented.csv", dtype=str)
    told = {(row.trigger.partition(",")[0], row.augmentation): row for row in table.itertuples()}
    every = table[["machine", "commit"]].drop_duplicates().itertuples(index=False)
    both, jitter = "all of SimCLR's", "crop, flip and jitter"
    return AUGMENTED.format(
        within=f"{STEPS:,}",
        **{f"crop_{t.lower()}": told[t, "crop from .2"].energy for t in ("CTRL", "SIG")},
        **{f"steps_{t.lower()}": span(told[t, "crop and flip"].steps) for t in ("CTRL", "SIG")},
        **{"ours": told["CTRL", both].energy, "theirs": told["CTRL", f"{both}, torchvision's"].energy},
        **{"sig_ours": told["SIG", both].energy, "sig_theirs": told["SIG", f"{both}, torchvision's"].energy},
        jitter_ours=span(told["CTRL", jitter].steps),
        jitter_theirs=span(told["CTRL", f"{jitter}, torchvision's"].steps),
        made="; ".join(f"{machine}; {short(commit)}" for machine, commit in every),
    )


def span(steps: str) -> str:
    """Fewest and most steps, and how often they were more than :data:`STEPS`."""
    found = sorted(int(n) for n in steps.split() if n != "–") or [STEPS]
    never = steps.split().count("–")
    return (
        f"{found[0]}–{found[-1]}"
        + f" (once not within {STEPS:,})" * (never == 1)
        + (f" ({never} times not within {STEPS:,})" * (never > 1))
    )


def not_run() -> str:
    return NOT_RUN.format(epochs=table()["epochs"].iloc[0], **including())


def including() -> dict[str, str]:
    """ASR of the contrastive arm as the official code counts it, and that of the clean encoder."""
    of = OURS["full"](f"{PART}/simclr-clean", "asr_including_target")
    assert of.benign is not None
    return {"including": f"{100 * of.value:.1f} %", "benign": f"{100 * of.benign:.1f} %"}


def table() -> pd.DataFrame:
    """The last epoch of each run, by arm, clean ones first."""
    runs = trained_on_gpu(PART)
    last = runs[runs["epoch"] == runs["epochs"]].set_index("arm")
    return last.sort_index(key=lambda arms: [list(ARMS).index(arm) for arm in arms])


def gpu() -> pd.DataFrame:
    last = table()
    rates = {"acc": "ACC", "asr": "ASR", "asr_ridge": "ASR, ridge", "asr_head": "ASR, own head", "r_acc": "R-Acc"}
    told = last[list(rates)].map(lambda v: "–" if pd.isna(v) else f"{v:.3f}").rename(columns=rates)
    told["loss on poisons / others"] = [
        f"{'–' if pd.isna(p) else f'{p:.2f}'} / {c:.2f}" for p, c in last[["loss_poison", "loss_clean"]].to_numpy()
    ]
    told["s an epoch"] = [f"{s:.2f}" for s in last["seconds"]]
    told["hardware; commit"] = [f"{r['machine']}, torch {r['torch']}; {short(r['commit'])}" for _, r in last.iterrows()]
    return told.reset_index()


def augmented() -> pd.DataFrame:
    found = pd.read_csv(HERE / "augmented.csv", keep_default_na=False, dtype=str)
    return found.drop(columns=["machine", "commit"]).replace({"steps": {"": "not tried"}})
