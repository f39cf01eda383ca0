"""The words of docs/evidence/tried.md; figures in braces come from tables (searches.py)."""

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

{logs}

Our training, by the protocol of the second log (full width, τ = .2, m = 50, normalised), on two CPU cores for a few of
its 1,000 epochs, in the first of which the rate is 0: loss, scaled as there, beside that of both logs. What differs is
said in `docs/evidence/first_epochs.py`, which wrote it. No rates were read, and it says nothing of ASR. In the epochs
with a rate above 0 ours lies {beside_first} from the first log and {beside_second} from the second.

{first_epochs}

Ours by the official recipe, ACC and ASR in per cent by kNN, the latter without images of the target class:

{official}
"""

SEARCHED = """\
{works} of {tried} settings clear the benign twin of ASR by .3 in more than half of their seeds, within 30 CPU-minutes
for the contrastive arm and its clean twin together; {single} of them were run with one seed only. Of those with
several: {several}. The cheapest takes {cpu} s of CPU: {setting}: ASR {asr} at a benign twin of {benign twin}, ACC
{acc} (seeds {seeds}); by the ridge probe {ridge}, with 5,000 neighbours {few}. ACC is low in all settings. Seeds 0 and
1 chose b1, and count. Planning runs that are not in the table failed: CTRL at m = 100 (32×32, 30 epochs), blends of α
≤ .4 (16×16, 30 and 40 epochs). A pattern of .5 is easily seen: this is a bench for the readings, not an attack, and a
poor one: on ten new seeds of `cifar10-blend-cpu` the contrastive ASR clears its benign twin in {fresh} by kNN and in
{fresh_ridge} by the ridge probe, and lies .3 above that of other triggers of the kind in {beyond} and {beyond_ridge}
of these ([evidence](../evidence.md#is-it-this-trigger))."""

SEARCHED_FASHION = """\
In the study of `fashion-small-cpu` the contrastive ASR clears its benign twin by .3 in {before} seeds. {settings} other
settings were tried from there, most with one seed and none beside its clean twin to the end, by drafts of the script
that were not kept (noted, not in a table: the script itself, run again with crops from .2, grayscale .2 and α = .5 at
test time, seed 33, gave the same ACC, ASR and R-Acc after 10 and 20 epochs). The highest ASRs came with a pattern that
is stronger at test time (α = .5) than in training (.3); milder crops with less grayscale, and the whole class poisoned,
raised it too. `fashion-blend-cpu` has the pattern and the crops. Its fields were chosen by the contrastive ASR of seeds
30 to 33 at 20 and 40 epochs, before any reading was taken; for 30 epochs it was first run in the
[study](../studies/fashion-blend/report.md), on seeds 0 to 9. There the contrastive ASR clears its benign twin in
{after} seeds by kNN, in {ridge} by the ridge probe; it lies .3 above that of other triggers of the kind in {beyond} and
{beyond_ridge} of these ([evidence](../evidence.md#is-it-this-trigger)). Blended in by half, the pattern is easily seen:
this too is a bench for the readings and no attack."""

SIG = """\
Most of these attacks blend in a pattern, and encoders answer to other patterns as well. SIG's wave, at the strength of
BackdoorBench (Δ = 40 of 255), was tried last: SimCLR alone, ASR at the end by kNN (by the ridge probe; by kNN under
waves that were not trained, which lie at right angles to it: other images of a blend are less far). Fashion-MNIST:
{fashion}. CIFAR-10 with crops from .2: {closer}; from .4, which leave more of a wave: {wider}."""

SIG_STUDIED = """\
`cifar10-sig-cpu` has the latter. In its [study](../studies/cifar10-sig/report.md) of ten other seeds the contrastive
ASR clears its benign twin in {knn} by kNN and in {ridge} by the ridge probe, and lies .3 above that of other waves in
{beyond} and {beyond_ridge} of these. After 28 of its 50 runs it was stopped to try, on its seeds 3 and 4, twice the
strength and three times the epochs (below, SimCLR alone), neither of which is steadier; then it went on as declared."""

OFFICIAL = """\
`cifar10-ctrl-official` on all 50,000 images (JPEG re-encoded) at 32×32 with a small network: `--arch resnet8 --width 16
--hidden 128 --batch 256 --precision bf16 --epochs 80`, seed 0, about a minute an epoch on one core; stopped soon after
epoch {ours}, from which nothing follows for the attack; and on a GPU with a [ResNet-18 of half the
width](../evidence.md#on-a-gpu), 160 epochs.

Two logs of a third party (github.com/SWY666/CTRL_correctness: ResNet-18, batch 512, 1,000 epochs, τ = .2, m = 50 and
100 at test time, where the official setting is τ = .5 and m = 100) end in the numbers that BLTO's rebuttal gives, so
that we take them for its runs. What they are we read from the code that lies beside them; nothing of it was run here.

- `log/original_setting_simclr.log`, the *first*, has the loop and the augmentation of the official code (Kornia's; one
  coin a view for the jitter). Its arguments say `disable_normalize=False`: views that the encoder learns from are
  normalised (`loaders/diffaugment.py`), images that kNN reads rates from are not (`methods/base.py`), so that they come
  with a fifth of the contrast and another mean. In the official code (github.com/meet-cjli/CTRL) that switch is always
  on and nothing is normalised, as in our recipe. ACC and ASR at the end: {first_ends}.
- `log/change_train_dataset_testset.log`, the *second*, draws torchvision's augmentation image by image and normalises
  all images, by ImageNet's constants. ACC and ASR at the end: {second_ends}.

ASR swings from one reading to the next in both: in the last quarter it is {first_late} in the first and {second_late}
in the second. Each is one run, which differs from the other in several things at once, and beside neither stands a
clean encoder: what makes the difference, and how much of it is a backdoor, they do not say. Lowest and highest reading
of every hundred epochs; images of the target class count as hits, so that chance is 10 %:"""

AGAIN = "noted, not in a table: the script itself, run again on the patch of 5 × 5, gave the same rates"

ALONG = """\
ASR can hang on when one looks: in the run with α = .5 over {epochs} epochs (seed {seed}) it is {course}
after every fifth of them, and by the ridge probe {ridge}. At the end R-Acc is
{r_acc}, as if all triggered images went to one class that is not the target. Of the {runs} runs here {fell} end with
less than half of their highest ASR, where that was at least .2."""
