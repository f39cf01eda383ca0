"""CTRL on CIFAR-10: our runs on a GPU, a third party's logs, and what augmentation and JPEG leave of the trigger."""

import pandas as pd
from intertwine.training.arms import ARMS

from .. import TABLES
from .form import number, read

PART = "official-half"
SPAN = 100
"""Epochs that a line of the table of logs covers."""
RATES = {"acc": "ACC", "asr": "ASR", "asr_ridge": "ASR, ridge", "asr_head": "ASR, own head", "r_acc": "R-Acc"}
LOSSES = {"loss_poison": "loss on poisons", "loss_clean": "on others"}


def gpu_runs() -> pd.DataFrame:
    """A line an arm and epoch; ``above_twin``: ASR less the benign twin's at that epoch."""
    runs = pd.read_csv(TABLES / "gpu_epochs.csv")
    runs = runs[(runs["part"] == PART) & (runs["seed"] == 0)]
    asr = dict(zip(zip(runs["arm"], runs["epoch"], strict=True), runs["asr"], strict=True))
    twins = [asr[ARMS[arm].benign, epoch] for arm, epoch in zip(runs["arm"], runs["epoch"], strict=True)]
    return runs.assign(above_twin=runs["asr"] - twins)


def gpu_ends() -> pd.DataFrame:
    """The last epoch of each run, by arm."""
    runs = gpu_runs()
    return runs[runs["epoch"] == runs["epochs"]].set_index("arm")


def gpu_table() -> pd.DataFrame:
    last = gpu_ends()
    columns = {title: last[name].map(number) for name, title in (RATES | LOSSES).items()}
    return pd.DataFrame(columns | {"s an epoch": last["seconds"].map(lambda s: number(s, 2))}).reset_index()


def log(name: str) -> pd.DataFrame:
    """``epoch``, ``acc`` and ``asr`` in per cent of the first or the second log."""
    logs = read("ctrl_logs")
    return logs[logs["log"] == name]


def logs_table() -> pd.DataFrame:
    """Lowest and highest rate in each hundred epochs."""
    lines = []
    for start in range(0, int(log("first")["epoch"].max()), SPAN):
        line = {"epochs": f"{start + 1}–{start + SPAN}"}
        for name in ("first", "second"):
            of = log(name)[log(name)["epoch"].between(start + 1, start + SPAN)]
            line |= {f"{name}: {rate.upper()}": f"{of[rate].min():.0f}–{of[rate].max():.0f}" for rate in ("acc", "asr")}
        lines.append(line)
    return pd.DataFrame(lines)


def first_epochs() -> pd.DataFrame:
    titles = {"loss": "ours", "first": "the first log", "second": "the second log"}
    table = read("first_epochs").rename(columns=titles)
    losses = {title: table[title].map(lambda loss: number(loss, 2)) for title in titles.values()}
    rate = table["lr"].map(lambda rate: number(rate, 4))
    return pd.DataFrame({"epoch": table["epoch"], "rate at its end": rate} | losses)


def loss_off(name: str) -> str:
    """By how much our loss differs from a log's, once there is a learning rate."""
    table = read("first_epochs")
    table = table[table["lr"] > 0]
    return " and ".join(f"{value:+.1f} %" for value in 100 * (table["loss"] / table[name] - 1))


def augmented() -> pd.DataFrame:
    """Share of the trigger's energy that is left, and batches until a small network sees it."""
    table = read("augmented", dtype=str)
    table["cell"] = table["energy"] + table["steps"].map(lambda steps: f" ({steps})" if steps else "")
    return _wide(table, "augmentation", "trigger")


def jpeg() -> pd.DataFrame:
    table = read("jpeg")
    table["place"] = table["channel"] + " at " + table["coefficient"]
    table["cell"] = [f"{number(s)} ({number(m, 2)})" for s, m in table[["share_left", "median_without"]].to_numpy()]
    return _wide(table, "images", "place")


def _wide(table: pd.DataFrame, index: str, columns: str) -> pd.DataFrame:
    return table.pivot_table(index=index, columns=columns, values="cell", aggfunc="first", sort=False).reset_index()


def left_by_jpeg() -> dict[str, float]:
    """Quality → largest share of the trigger, in per cent, that comes back from files with halved chroma."""
    table = read("jpeg")
    halved = table[table["images"].str.contains("4:2:0")]
    left = 100 * halved.groupby(halved["images"].str.extract(r"quality (\d+)")[0])["share_left"].max()
    return {str(quality): float(share) for quality, share in left.items()}
