"""What was trained on a GPU, and what augmentation leaves of a trigger: parts of docs/evidence.md."""

from pathlib import Path

import pandas as pd
from intertwine.training.poison import ARMS
from published import beside, external, short, trained_on_gpu
from texts import AUGMENTED, GPU, NOT_RUN

HERE = Path(__file__).parent
PART = "official-half"
PUBLISHED = ("BLTO's rebuttal", "CIFAR-10, CTRL by its official code", "ASR")


def on_gpu() -> dict[str, str]:
    """What stands in the braces of the page."""
    runs, last = trained_on_gpu(), table()
    dirty = runs[runs["arm"] == "supervised-dirty"].set_index("epoch")
    floors = runs.set_index(["arm", "epoch"])["asr"]
    above = max(asr - floors[(ARMS[arm].floor, epoch)] for (arm, epoch), asr in floors.items())
    heads = [f"{run['asr_head']:.3f} ({arm})" for arm, run in last.iterrows() if pd.notna(run["asr_head"])]
    text = GPU.format(
        **{"seed": last["seed"].iloc[0], "epochs": last["epochs"].iloc[0], "above": f"{above:.3f}"},
        heads=", ".join(heads),
        **{"first": f"{dirty['loss_poison'].iloc[0]:.2f}", "early": dirty.index[0]},
        **{"last": f"{dirty['loss_poison'].iloc[-1]:.2f}", "r_acc": f"{last.loc['supervised-dirty', 'r_acc']:.3f}"},
        **{"r_floor": f"{last.loc['clean-supervised', 'r_acc']:.3f}", "rise": rise(), **including()},
    )
    made = pd.read_csv(HERE / "augmented.csv", keep_default_na=False)[["machine", "commit"]].drop_duplicates()
    return {
        "gpu_text": text,
        "augmented_text": AUGMENTED.format(made="; ".join(f"{m}; {short(c)}" for m, c in made.itertuples(index=False))),
    }


def not_run() -> str:
    return NOT_RUN.format(epochs=table()["epochs"].iloc[0], **including())


def including() -> dict[str, str]:
    """ASR as the official code counts it, and that of the clean encoder, in per cent."""
    source, protocol, metric = PUBLISHED
    rows = external()
    row = rows[(rows["source"] == source) & (rows["protocol"] == protocol) & (rows["metric"] == metric)]
    value, _, rest = beside(next(row.itertuples()))["ours"].partition(" ")
    return {"including": f"{value} %", "floor": f"{rest.rpartition(' ')[2]} %"}


def rise() -> int:
    """The last epoch in which a third party's log of the official code is below twice its chance."""
    log = pd.read_csv(HERE / "official.csv")
    log = log[log["whose"].str.startswith("a third")]
    return int(log.loc[log["asr"] < 20, "epoch"].max())


def table() -> pd.DataFrame:
    """The last epoch of each run, by arm, clean ones first."""
    runs = trained_on_gpu()
    last = runs[(runs["part"] == PART) & (runs["epoch"] == runs["epochs"])].set_index("arm")
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
