#!/usr/bin/env bash
# The full part of the evidence: CIFAR-10 with ResNet-18 on a GPU. Every command continues where it was cut: run it again.
#   DATA=imagefolder:PATH OUT=runs/full evidence/scripts/full.sh
# Where a GPU is lent for minutes only, slices.py beside this file trains the parts one by one.
#   SMOKE=1 evidence/scripts/full.sh        a few steps of everything on a CPU, to see that it runs; no result
set -euo pipefail
DATA=${DATA:-cifar10} OUT=${OUT:-runs/full}
less=() fewer=()
if [ -n "${SMOKE:-}" ]; then
    less=(--n-train 1200 --n-test 300 --epochs 2 --width 4 --hidden 16 --projection 16 --batch 100 --eval-every 1
        --precision float32 --poison-fraction .5 --poison-base target_class --device cpu --threads 2)
    fewer=(--arms supervised-dirty,simclr-clean --no-interventions --images 100)
fi
train() { intertwine train "$1" --arm "$2" --data "$DATA" --out "$OUT/$3/$2/seed0" "${@:4}" "${less[@]}"; }

# 1. One complete arm set for each trigger, then more seeds of it (what is finished is not done again). All arms learn for
#    200 epochs, the supervised ones too, which would need fewer: equal steps are part of the comparison.
for seeds in 1 3; do
    [ -n "${SMOKE:-}" ] && [ "$seeds" != 1 ] && continue
    for trigger in ctrl patch; do
        intertwine study "cifar10-half-$trigger" --seeds "$seeds" --data "$DATA" --out "$OUT/study-$trigger" \
            "${less[@]}" "${fewer[@]}"
    done
done

# 2. More methods under CTRL's attack, with their benign twins.
for arm in byol-benign byol-clean moco-benign moco-clean; do train cifar10-half-ctrl "$arm" methods; done
intertwine compare "$OUT/methods" --out "$OUT/methods/compare"

# 3. The standard recipe at 200 epochs and full width: kNN ACC beside lightly's 84.8 % and our bar of 84 %.
train cifar10-standard simclr-benign standard-200 --epochs 200 --precision bf16

# 4. CTRL as its code trains it, 800 epochs: ASR, including the target class as it is reported, beside the published 81–85 %.
for arm in simclr-benign simclr-clean; do train cifar10-ctrl-official "$arm" official; done
intertwine compare "$OUT/official" --out "$OUT/official/compare"
intertwine measure "$OUT/official/simclr-clean/seed0" --benign "$OUT/official/simclr-benign/seed0" \
    --readings asr_including_target --out "$OUT/official/including-target"
