"""The schema of results: the columns and values of ``rows.csv``, and the names of the side tables.

Claims, figures and reports use this one tidy table. A row is one number: ``kind`` names its type, and the other columns
say where it was computed. A column that does not apply is empty. ``note`` is for people: no code parses it.
"""

__all__ = [
    "BACKDOORED",
    "BANK_EVALUATORS",
    "COLUMNS",
    "DECIDING",
    "DEFAULT_EVALUATOR",
    "EVALUATOR_TITLES",
    "FLAGS",
    "KINDS",
    "LEAST_HITS",
    "NATIVE",
    "NUMBERS",
    "REFERENCES",
    "SIDE_TABLES",
    "STATUSES",
    "SUBSETS",
    "TEXTS",
    "WHOLE_NUMBERS",
]

COLUMNS = [
    *("kind", "run", "arm", "seed", "epoch", "recipe", "plan", "layer", "subset", "measure", "reference"),
    *("value", "ci_low", "ci_high", "n", "d", "evaluator", "decides", "x", "path", "other_run", "other_layer"),
    *("defence", "labels", "share", "budget", "status", "note"),
]
TEXTS = (
    *("kind", "run", "arm", "recipe", "plan", "layer", "subset", "measure", "reference", "evaluator", "path"),
    *("other_run", "other_layer", "defence", "labels", "status", "note"),
)
WHOLE_NUMBERS = ("seed", "n")
NUMBERS = ("epoch", "value", "ci_low", "ci_high", "d", "x", "share", "budget")
FLAGS = ("decides",)
"""``decides``: this rate's evaluator decides which triggered images are hits."""

KINDS = ("reading", "pair", "coupling", "path", "matched", "confusion", "roc", "defence")
"""Types of rows. ``reading``: of one encoder. ``pair``: of the encoder and that of ``other_run``. ``coupling``: of the
curves of a run, compared with other seeds'. ``path``: a rate at the point ``x`` of a ``path``; ``x`` is a number of
steps, a share of the way between weights, or a multiple of the trigger's strength. ``matched``: a reading under the
test trigger weakened to ``x`` of its strength. ``confusion``: the share of triggered images of other classes that leave
their class for class ``x``. ``roc``: true-positive rate at the false-positive rate ``x``.
``defence``: a result of a defence."""

SUBSETS = (
    *("clean", "clean_other", "clean_target", "triggered", "triggered_target", "hits", "triggered_all"),
    *("false_positives", "poisons", "poison_twins"),
    *("clean_other~triggered", "clean_target~triggered_target"),
)
"""Subsets of the images. ``clean``: all held-out images. ``clean_other``, ``clean_target``: those of other classes and
of the target class. ``triggered``, ``triggered_target``: the same two with the trigger. ``triggered_all``: both.
``hits``: triggered images of other classes that the evaluator sends to the target, and whose clean versions it sends
elsewhere. ``false_positives``: clean images of other classes that it sends to the target. ``poisons``: the training
images that got the trigger, with it. ``poison_twins``: clean training images of the class that poisons are bound to. A
pair with ``~`` compares the same images without and with the trigger."""

REFERENCES = (
    *("benign", "together", "apart", "false-positives", "random-trigger", "random-init", "raw-pixels"),
    *("within-noise", "permuted", "random-direction", "random-subspace", "class-direction", "cross-seed", "random"),
)
"""What a value is compared with. ``benign``: the benign twin (never subtracted). ``together``, ``apart``: the two ends
of a reading in this encoder, for example of two halves of one class and of two natural classes. ``false-positives``:
the same reading of clean images that the evaluator sends to the target. ``random-trigger``: the same encoder under
other triggers of the same kind. ``random-init``: random weights. ``raw-pixels``: the images themselves.

Seven belong to single measures. Interventions: ``random-subspace``, of equal rank, drawn from N(0, Σ_within). Residual
energy: ``within-noise``, displacements drawn from N(0, Σ_within). CKA, logistic probes and interpolation: ``permuted``
(pairing, labels, channels). Erasure: ``random-direction`` and ``class-direction`` instead of the trigger's.
Transplants: ``random-direction``, the layer moved as far elsewhere. Coupling of curves: ``cross-seed``, ACC of one seed
with ASR of another. Detectors: ``random`` orders."""

STATUSES = ("ok", "too_few_hits", "not_estimable", "undefined", "not_evaluable")
"""``ok``: the value is valid. ``too_few_hits``: a reading of too few hits, or of training where the backdoor failed.
``not_estimable``: a gradient cannot be distinguished from noise. ``undefined``: no value; the note gives the reason.
``not_evaluable``: of the first studies only; the backdoor failed by the evaluator that decided there."""

BANK_EVALUATORS = ("knn", "ridge")
"""Those that see clean labelled images only."""
DEFAULT_EVALUATOR = "knn"
"""The one that decides for encoders without a native head, and for defences."""
NATIVE = "native"
"""The evaluator of a run's own classifier, or of a linear head on the victim's training data."""
DECIDING = (NATIVE, *BANK_EVALUATORS)
"""Those that may decide which images are hits."""
EVALUATOR_TITLES = {"knn": "kNN", "ridge": "the ridge probe", NATIVE: "the native head"}

BACKDOORED = 0.3
"""A run counts as backdoored if its ASR exceeds its benign twin's by this much, by any of three evaluators."""
LEAST_HITS = 50
"""Readings of the subset ``hits`` need so many images."""

SIDE_TABLES = {
    "history.csv": "loss, ACC, ASR and R-Acc of a run by epoch",
    "embedding.csv": "UMAP and principal components of held-out images, by image",
    "spectrum.csv": "share of variance by principal component",
    "layer_cka.csv": "CKA of every layer of a run with every layer of another",
    "triggers.npz": "one image of each class, clean and triggered",
    "thumbnails.npz": "the images of embedding.csv",
    "runs.csv": "of a study: arm, seed, hash, cost and origin of each run",
    "claims.csv": "verdicts on C2 to C4",
    "claims_matched.csv": "the same at matched ASR",
    "claims_c5.csv": "verdicts on C5",
    "grid_claims.csv": "of a grid: verdicts on C2 to C4 by value",
    "failures.csv": "tasks of a study that failed, and why",
}
"""The tables beside ``rows.csv``."""
