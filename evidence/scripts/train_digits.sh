#!/usr/bin/env bash
# The digits encoders of the zoo but those under SIG, which are of a seed of the crossed study (see pack_zoo.py): five
# minutes on two cores.
set -euo pipefail
train() { intertwine train "$1" --arm "$2" --seed 0 --threads 1 --out "runs/zoo/$1/$2/seed0"; }
for arm in supervised-benign supcon-benign simclr-benign supervised-dirty supervised-clean supcon-dirty supcon-clean simclr-clean; do
    train digits-demo "$arm"
done
for arm in simclr-benign simclr-clean supervised-benign supervised-clean; do train digits-ctrl "$arm"; done
for arm in supervised-benign supervised-dirty; do train digits-badnets "$arm"; done
