#!/usr/bin/env bash
# The digits encoders of the zoo but those under SIG, which are seed 14 of
# `intertwine study digits-sig --first-seed 10 --seeds 10` (docs/studies/digits-sig): five minutes on two cores.
set -euo pipefail
train() { intertwine train "$1" --arm "$2" --seed 0 --threads 1 --out "runs/zoo/$1/$2/seed0"; }
for arm in clean-supervised clean-supcon clean-contrastive supervised-dirty supervised-clean supcon-dirty supcon-clean contrastive; do
    train digits-demo "$arm"
done
for arm in clean-contrastive contrastive clean-supervised supervised-clean; do train digits-ctrl "$arm"; done
for arm in clean-supervised supervised-dirty; do train digits-badnets "$arm"; done
