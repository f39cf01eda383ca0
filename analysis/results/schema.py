"""The schema of results: one tidy table, ``rows.csv``, that claims, figures and reports read, and the side tables.

A row is one number. ``kind`` says what it is a number of; the other columns say where it was computed. A column that
does not apply is empty. ``note`` is for people: no code reads it.
"""

__all__ = [
    "BANK_EVALUATORS",
    "COLUMNS",
    "DEFAULT_EVALUATOR",
    "EVALUABLE",
    "EVALUATOR_TITLES",
    "FLAGS",
    "KINDS",
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
"""``decides``: of a rate, whether its evaluator decides which triggered images are hits, and whether a backdoor
works."""

KINDS = ("reading", "pair", "coupling", "path", "matched", "roc", "defence")
"""``reading``: of one encoder. ``pair``: the encoder compared with that of ``other_run``. ``coupling``: of the curves
of a run, held against other seeds'. ``path``: a rate at the point ``x`` of a ``path`` (steps of forgetting, or a share
of the way between weights or of the trigger's strength). ``matched``: a reading under the test trigger weakened to
``x`` of its strength. ``roc``: the true-positive rate at the false-positive rate ``x``. ``defence``: what came of a
defence."""

SUBSETS = (
    *("clean", "clean_other", "clean_target", "triggered", "triggered_target", "hits", "triggered_all"),
    *("clean_other~triggered", "clean_target~triggered_target"),
)
"""``clean``: all held-out images. ``clean_other``, ``clean_target``: those of other classes and of the target.
``triggered``, ``triggered_target``: the same two with the trigger; ``triggered_all``: both. ``hits``: triggered images
of other classes that the evaluator sends to the target. A pair with ``~`` compares the same images without and with
it."""

REFERENCES = (
    *("benign", "together", "random-trigger", "random-init", "raw-pixels"),
    *("within-noise", "permuted", "random-direction", "class-direction", "cross-seed", "random"),
)
"""What a value is held against. ``benign``: the benign twin. ``together``: the fully intertwined end in this encoder.
``random-trigger``: the same encoder under other triggers of its kind. ``random-init``: random weights. ``raw-pixels``:
the images themselves. Of single measures: ``within-noise`` (displacements drawn from N(0, Σ_within)) of residual
energy; ``permuted`` of CKA (its pairing) and of the logistic probes (their labels); ``random-direction`` and
``class-direction`` (erased instead of the trigger's) of the erasure cost; ``cross-seed`` (ACC of one seed with ASR of
another) of the coupling of curves; ``random`` (orders) of detectors."""

STATUSES = ("ok", "not_evaluable", "not_estimable", "undefined")
"""``not_evaluable``: the backdoor failed. ``not_estimable``: a gradient is not told from noise. ``undefined``: there is
nothing to compute; the note gives the reason."""

BANK_EVALUATORS = ("knn", "ridge")
"""Those that see clean labelled images only; either may decide."""
DEFAULT_EVALUATOR = "knn"
NATIVE = "native"
"""The evaluator of a run's own classifier."""
EVALUATOR_TITLES = {"knn": "kNN", "ridge": "the ridge probe", NATIVE: "the native head"}

EVALUABLE = 0.3
"""ASR must exceed the benign twin's by this much, or a reading reports nothing about how the backdoor was learned."""

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
