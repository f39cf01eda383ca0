"""Pack the zoo from finished runs: `python docs/evidence/pack_zoo.py [DATA-TRIGGER=FOLDER:SEED …]`.

``FOLDER/ARM/seedSEED`` are the runs of one recipe, as ``intertwine train`` and ``intertwine study`` leave them. Which
folders the zoo that ships was packed from is in :data:`FROM`. Names are data, method, trigger, and how the poisons are
labelled, or ``benign`` for the clean twin.
"""

import sys
from pathlib import Path

from intertwine.analysis.runs.zoo import pack
from intertwine.checkpoints.store import is_finished

FROM = (
    "digits-blend=runs/zoo/digits-demo:0",
    "digits-ctrl=runs/zoo/digits-ctrl:0",
    "digits-patch=runs/zoo/digits-badnets:0",
    "digits-sig=runs/study-digits-sig/runs:14",
    "fashion-blend=runs/study-fashion-b/runs:9",
    "fashion-strong=runs/study-fashion-blend/runs:5",
    "cifar10-blend=runs/study-cifar10/runs:1",
    "cifar10-sig=runs/study-cifar10-sig/runs:7",
)
ARMS = {
    **{"supervised-benign": ("supervised", "benign"), "supervised-dirty": ("supervised", "dirty")},
    **{"supervised-clean": ("supervised", "cleanlabel"), "supcon-benign": ("supcon", "benign")},
    **{"supcon-dirty": ("supcon", "dirty"), "supcon-clean": ("supcon", "cleanlabel")},
    **{"simclr-benign": ("simclr", "benign"), "simclr-clean": ("simclr", "")},
}


def main() -> None:
    for group in sys.argv[1:] or FROM:
        kind, _, place = group.partition("=")
        data, _, trigger = kind.partition("-")
        folder, _, seed = place.rpartition(":")
        runs = {}
        for arm, (method, labels) in ARMS.items():
            run = Path(folder) / arm / f"seed{seed}"
            if is_finished(run):
                runs["-".join(filter(None, (data, method, trigger, labels)))] = run
        print(group, "→", ", ".join(runs))
        print(pack(runs))


if __name__ == "__main__":
    main()
