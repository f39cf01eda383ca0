"""Pack the zoo from finished runs: ``python -m evidence.scripts.pack_zoo [DATA-TRIGGER=FOLDER:SEED …]``.

``FOLDER/ARM/seedSEED`` are runs of one recipe, as ``intertwine train`` and ``intertwine study`` write them. The zoo
that ships was packed from :data:`PACKED_FROM`. An encoder is named DATA-LEARNER-TRIGGER-POISON.
"""

import sys
from pathlib import Path

from intertwine.analysis.runs.zoo import pack
from intertwine.checkpoints.store import is_finished
from intertwine.training.arms import ARMS

PACKED_FROM = (
    "digits-blend=runs/zoo/digits-demo:0",
    "digits-ctrl=runs/zoo/digits-ctrl:0",
    "digits-patch=runs/zoo/digits-badnets:0",
    "digits-sig=runs/crossed-digits/runs:101",
    "fashion-blend=runs/study-fashion-b/runs:9",
    "fashion-strong=runs/study-fashion-blend/runs:5",
    "cifar10-blend=runs/study-cifar10/runs:1",
    "cifar10-sig=runs/study-cifar10-sig/runs:7",
)


def main() -> None:
    for group in sys.argv[1:] or PACKED_FROM:
        kind, _, place = group.partition("=")
        data, _, trigger = kind.partition("-")
        folder, _, seed = place.rpartition(":")
        named = {
            f"{data}-{arm.learner}-{trigger}-{arm.poison}": Path(folder) / name / f"seed{seed}"
            for name, arm in ARMS.items()
        }
        runs = {name: run for name, run in named.items() if is_finished(run)}
        print(group, "→", ", ".join(runs))
        print(pack(runs))


if __name__ == "__main__":
    main()
