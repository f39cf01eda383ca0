"""CTRL on CIFAR-10: our runs on a GPU, a third party's logs, and what augmentation and JPEG leave of the trigger."""

import pandas as pd
from intertwine.training.poison import ARMS

from .. import TABLES
from .form import MISSING, made_by, number

PART = "official-half"
SPAN = 100
"""Epochs that a line of the table of logs covers."""


def gpu_runs() -> pd.DataFrame:
    runs = pd.read_csv(TABLES / "gpu_epochs.csv")
    runs = runs[(runs["part"] == PART) & (runs["seed"] == 0)]
    twin = runs.set_index(["arm", "epoch"])["asr"]
    twins = [twin[(ARMS[arm].benign, epoch)] for arm, epoch in zip(runs["arm"], runs["epoch"], strict=True)]
    return runs.assign(above_twin=runs["asr"] - twins)


def gpu_ends() -> pd.DataFrame:
    """The last epoch of each run, by arm."""
    runs = gpu_runs()
    return runs[runs["epoch"] == runs["epochs"]].set_index("arm")


def gpu_table() -> pd.DataFrame:
    titles = {"acc": "ACC", "asr": "ASR", "asr_ridge": "ASR, ridge", "asr_head": "ASR, own head", "r_acc": "R-Acc"}
    last = gpu_ends()
    told = last[list(titles)].map(number).rename(columns=titles)
    told["loss on poisons"], told["on others"] = last["loss_poison"].map(number), last["loss_clean"].map(number)
    return told.assign(**{"s an epoch": last["seconds"].map(lambda s: number(s, 2))}).reset_index()


def logs() -> pd.DataFrame:
    """``log`` (first or second), ``epoch``, ``acc`` and ``asr`` in per cent; images of the target class count as
    hits."""
    return pd.read_csv(TABLES / "ctrl_logs.csv")


def ranged(log: str, first: int, last: int, rate: str = "asr") -> str:
    """Lowest and highest rate in these epochs."""
    of = logs()[(logs()["log"] == log) & logs()["epoch"].between(first, last)][rate]
    return f"{of.min():.0f}–{of.max():.0f}"


def logs_table() -> pd.DataFrame:
    starts = range(0, int(logs()["epoch"].max()), SPAN)
    return pd.DataFrame(
        {"epochs": f"{start + 1}–{start + SPAN}"}
        | {
            f"{log}: {rate.upper()}": ranged(log, start + 1, start + SPAN, rate)
            for log in ("first", "second")
            for rate in ("acc", "asr")
        }
        for start in starts
    )


def first_epochs() -> pd.DataFrame:
    table = pd.read_csv(TABLES / "first_epochs.csv")
    told = {"epoch": table["epoch"], "rate at its end": table["lr"].map(lambda v: number(v, 4))}
    told |= {name: table[column].map(lambda v: number(v, 2)) for name, column in LOSSES.items()}
    return pd.DataFrame(told)


LOSSES = {"ours": "loss", "the first log": "first", "the second log": "second"}


def loss_off(log: str) -> str:
    """By how much our loss differs from a log's, once there is a learning rate."""
    table = pd.read_csv(TABLES / "first_epochs.csv")
    table = table[table["lr"] > 0]
    return " and ".join(f"{value:+.1f} %" for value in 100 * (table["loss"] / table[log] - 1))


def small_runs() -> pd.DataFrame:
    return pd.read_csv(TABLES / "official.csv")


def augmented() -> pd.DataFrame:
    """Share of the trigger's energy that an augmentation leaves, and batches until a small network sees it."""
    table = pd.read_csv(TABLES / "augmented.csv", keep_default_na=False, dtype=str)
    table["told"] = table["energy"] + table["steps"].map(lambda steps: f" ({steps})" if steps else "")
    return table.pivot_table(index="augmentation", columns="trigger", values="told", aggfunc="first", sort=False).reset_index()


def jpeg() -> pd.DataFrame:
    table = pd.read_csv(TABLES / "jpeg.csv")
    table["place"] = table["channel"] + " at " + table["coefficient"]
    table["told"] = [f"{number(s)} ({number(m, 2)})" for s, m in table[["share_left", "median_without"]].to_numpy()]
    return table.pivot_table(index="images", columns="place", values="told", aggfunc="first", sort=False).reset_index()


def left_by_jpeg() -> "pd.Series[float]":
    """Largest share of the trigger that comes back from files with halved chroma, in per cent, by quality."""
    table = pd.read_csv(TABLES / "jpeg.csv")
    halved = table[table["images"].str.contains("4:2:0")]
    return 100 * halved.groupby(halved["images"].str.extract(r"quality (\d+)")[0])["share_left"].max()


def machines(name: str) -> str:
    """Where a table was made."""
    table = pd.read_csv(TABLES / f"{name}.csv", keep_default_na=False)
    return " / ".join(dict.fromkeys(made_by(row) for row in table.itertuples())) or MISSING
