"""The report: one Markdown page with the verdicts, the table, the figures and what they cannot show."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ...checkpoints.files import atomic_write
from ...training.arms import ARMS
from ..claims.learning_claims import ENOUGH_SEEDS, MARGIN
from ..learning.matched_asr import ASR_LEVEL
from ..results.schema import DEFAULT_EVALUATOR, EVALUABLE, EVALUATOR_TITLES
from ..results.table import by_deciding_evaluator, deciding_evaluators, final_rows
from .drawing import CAPTIONS
from .learning_tables import interventions_table, learning_table
from .readings_table import markdown, number, probability, readings_table

__all__ = ["cautions", "claims_table", "write_report", "write_study_report"]

READ = """\
Only the families B to D are evidence of entanglement; the rates and family A (distance ratio, confusion ratio,
displacement cosine) restate that a backdoor works. Read every value against its references: `benign` is the same
method's clean encoder on the same images and trigger, `together` the fully intertwined end, `random-trigger` another
trigger of the same kind on the same encoder, `random-init` the untrained encoder, `raw-pixels` the images themselves.
Status `not_evaluable`: the backdoor failed (ASR less than .3 above its benign twin), so the reading says nothing;
`not_estimable`: a gradient is not told from noise; `undefined`: there is nothing to compute, the `note` in the rows
reports why."""

FEW = 3
"""Runs of an arm that are named one by one."""
BY_BOTH = "the evaluators disagree, ASR is {} by kNN and {} by the ridge probe."
DISAGREE = "hits and the status of the readings go by "
OTHER_TRIGGERS = "triggers that it was never trained on reach ASR {} (benign twin {})."
OF_A_KIND = "It answers to the kind of trigger {}: random-trigger is no unrelated end here."
HIGH_BENIGN_ASR = "the clean encoder has ASR {} by "
BEFORE_POISON = "It answers to the trigger without having learned it: only differences to it speak of the backdoor."
VIEWS = {"supervised": "1", "badencoder": "3"}  # an image, its triggered copy and a reference

LEARNING = """\
Rates along training are by kNN; they are means over its last tenth. Half-time gap: steps to half of the final ASR minus
steps to half of the final ACC; positive where the backdoor is learned later (it has no benign twin: a clean encoder
learns no backdoor). Coupling: correlation of the changes of ACC and ASR from epoch to epoch, beside its null, ACC of
one seed with ASR of another. Loss rank: the chance that a poison's loss is below that of a clean image of its class,
.5 where the two do not differ, mean over the first quarter of the epochs. Own alignment: of the gradients of the arm's
own loss on its poisons with and without the trigger, mean over the snapshots after the first step that tell them from
noise; then its difference to the clean encoder's on the same images, and to its own under a trigger that nobody was
trained on, each snapshot by snapshot where both are told from noise (both tasks one: 1). Beside each mean its interval
over seeds and how many, and how many snapshots. Runs whose backdoor failed are left out of all but the rates."""

INTERVENTIONS = """\
What is lost together. Forgetting coupling: ACC lost for each point of ASR lost (0: the backdoor goes alone, 1: the
benign task goes with it), by ascent on the known poisons, fine-tuning on clean images, or going on with the benign task
only; held against the ACC that the clean encoder loses under the same treatment. `undefined`: the treatment does not
take .3 off ASR. Ascent alone raises the clean encoder's ASR: the poisons' loss does not know whose it is. ACC barrier:
the deepest fall of ACC on the straight line between the weights of the clean encoder and of the poisoned one (BatchNorm
statistics taken anew at each point); held against the line to the same function with its channels permuted. It is a
maximum over noisy points and cannot be below 0, so that an interval above 0 is no evidence, and there is no control for
two clean trainings that differ in nothing but chance. ASR half point: where on that line half of ASR has come. Erasure
cost: what falls when the trigger's direction is erased (LEACE, the evaluator refitted); held against the clean encoder,
and against directions of equal rank drawn from N(0, Σ) and from the space between the class means. Layers of both
encoders exchanged are in the figure, middle layers in `rows.csv`. Runs whose backdoor failed are left out, but for what
erasing takes off ASR."""

MATCHED = f"""\
A second table, by the same rules, of readings under the weakest test trigger that reaches an ASR of {ASR_LEVEL:g}. It
is secondary: the level was set before any verdict at it was read, but after those of the first study at full strength,
and is not in `predicates.json`. Arms that never reach it, or whose benign twin comes near, are not evaluable."""

LIMITS = """\
- Intervals of a single run are over its held-out images. They do not cover another seed, trigger pattern or data split.
- Digits are easy: raw pixels reach the accuracy of a trained encoder, so ACC shows only that nothing broke.
- The claims are our operationalisation of Li et al. (USENIX Security 2024), not the paper's own tests.
- Whoever measures is assumed to have clean labelled images, the trigger and the target class."""


def claims_table(claims: pd.DataFrame) -> pd.DataFrame:
    """The verdicts as text: a line for each primary reading of a claim and arm, the joint verdict on the first of
    them."""
    first = ~claims.duplicated(["claim", "arm", "against"])
    return pd.DataFrame(
        {
            "claim": (claims["claim"] + ": " + claims["statement"]).where(first, ""),
            "arm": claims["arm"].where(first, ""),
            "against": claims["against"].where(first, ""),
            "verdict": claims["verdict"].where(first, ""),
            "reading": claims["measure"],
            "effect": claims["effect"].map(number),
            "90 % interval": _intervals(claims["ci90_low"], claims["ci90_high"]),
            "95 % interval": _intervals(claims["ci_low"], claims["ci_high"]),
            "seeds": claims["seeds"].astype(str),
            "p (Holm)": claims["p_holm"].map(probability).where(first, ""),
            "because": claims["why"],
        }
    )


def _intervals(lows: pd.Series, highs: pd.Series) -> list[str]:
    pairs = zip(lows, highs, strict=True)
    return [f"[{number(low)}, {number(high)}]" if low == low else "–" for low, high in pairs]


def cautions(rows: pd.DataFrame) -> list[str]:
    """What a reader of these rows must know before the verdicts: where the backdoor itself is in doubt. A line a run;
    of an arm's runs one together, where they are more than :data:`FEW`."""
    asr = rows[(rows["measure"] == "asr") & rows["arm"].map(lambda arm: ARMS[arm].is_poisoned if arm in ARMS else True)]
    found = []
    for arm, of_arm in asr.groupby("arm", sort=False):
        lines: dict[str, list[tuple[str, str, tuple[float, ...]]]] = {}
        for run, group in of_arm.groupby("run", sort=False):
            rate = {(r["evaluator"], r["reference"]): float(r["value"]) for r in group.to_dict("records")}
            evaluator = by_deciding_evaluator(group)["evaluator"].iloc[0]
            knn, ridge = rate[("knn", "")], rate[("ridge", "")]
            if abs(knn - ridge) > EVALUABLE:
                lines.setdefault(DISAGREE + f"{EVALUATOR_TITLES[evaluator]}.", []).append(
                    (str(run), BY_BOTH, (knn, ridge))
                )
            other, benign = rate.get((evaluator, "random-trigger"), 0.0), rate.get((evaluator, "benign"))
            if benign is not None and benign >= EVALUABLE:
                lines.setdefault(BEFORE_POISON, []).append(
                    (str(run), f"{HIGH_BENIGN_ASR}{EVALUATOR_TITLES[evaluator]}.", (benign,))
                )
            if benign is not None and other - benign > EVALUABLE:
                own = rate[(evaluator, "")]
                means = OF_A_KIND.format("about as much as to this one" if own - other < EVALUABLE else "too")
                lines.setdefault(means, []).append((str(run), OTHER_TRIGGERS, (other, benign)))
        for means, of_runs in lines.items():
            if len(of_runs) <= FEW:
                found += [f"{run}: {told.format(*map(number, values))} {means}" for run, told, values in of_runs]
                continue
            ranges = [f"{number(min(v))} to {number(max(v))}" for v in zip(*(v for *_, v in of_runs), strict=True)]
            of = f"{len(of_runs)} of {of_arm['run'].nunique()} runs"
            found.append(f"{arm}, {of}: {of_runs[0][1].format(*ranges)} {means}")
    return found


def write_report(
    path: Path,
    rows: pd.DataFrame,
    claims: pd.DataFrame,
    figures: Sequence[Path],
    about: Sequence[Mapping[str, Any]],
    *,
    notice: str = "",
) -> Path:
    """Write ``report.md``. ``about``: the manifests of the runs. ``notice``: a line that must not be missed, if any."""
    recipe = about[0]["recipe"]
    target = about[0]["classes"][recipe["target"]]
    what = f"{len(about)} runs {_of(recipe, rows)}, target class {target!r}."
    readings = {"Readings": [READ, markdown(readings_table(rows)), "All layers and subsets are in `rows.csv`."]}
    return _write(path, what, rows, claims, readings, figures, markdown(_runs(about)), notice)


def write_study_report(
    path: Path,
    rows: pd.DataFrame,
    claims: pd.DataFrame,
    figures: Sequence[Path],
    about: pd.DataFrame,
    recipe: Mapping[str, Any],
    matched: pd.DataFrame | None = None,
) -> Path:
    """The same for a study, from its tables: ``rows`` hold snapshots too, ``about`` is its ``runs.csv``, ``matched``
    the verdicts at matched ASR."""
    final = final_rows(rows)
    wall, cpu, threads = about["wall_seconds"], about["cpu_seconds"], about["threads"].iloc[0]
    what = (
        f"A study of {len(about)} runs {_of(recipe, rows)}, target class {recipe['target']}. Predicates and recipe "
        f"were written to `predicates.json` and `recipe.json` before it started. Training cost {wall.median():.0f} s a "
        f"run ({cpu.median():.0f} s CPU; medians), {cpu.sum() / 60:.0f} minutes of CPU in all, on "
        f"{about['device'].iloc[0]} with {threads} CPU thread{'' if threads == 1 else 's'} a run, "
        f"torch {about['torch'].iloc[0]}."
    )
    readings = {
        "Readings at the end of training": [READ, markdown(readings_table(final))],
        "Learning": [LEARNING, markdown(learning_table(rows))],
    }
    if len(intervened := interventions_table(rows)):
        readings["Interventions"] = [INTERVENTIONS, markdown(intervened)]
    if matched is not None and len(matched):
        readings[f"Verdicts at an ASR of {ASR_LEVEL:g}"] = [MATCHED, markdown(claims_table(matched))]
    return _write(path, what, final, claims, readings, figures, markdown(about.map(str)), "")


def _of(recipe: Mapping[str, Any], rows: pd.DataFrame) -> str:
    seeds = sorted(set(rows["seed"]))
    strength = "its own strength" if recipe["strength"] is None else f"strength {recipe['strength']:g}"
    by = "".join(
        f"; hits and status by {EVALUATOR_TITLES[judge]}"
        for judge in deciding_evaluators(rows)
        if judge != DEFAULT_EVALUATOR
    )
    return (
        f"of recipe `{recipe['name']}` on `{recipe['data']}`, seed{'s' if len(seeds) > 1 else ''} "
        f"{', '.join(map(str, seeds))}; trigger `{recipe['trigger']}` at {strength}{by}"
    )


def _write(
    path: Path,
    what: str,
    rows: pd.DataFrame,
    claims: pd.DataFrame,
    readings: Mapping[str, Sequence[str]],
    figures: Sequence[Path],
    runs: str,
    notice: str,
) -> Path:
    parts = ["# Learned apart, or intertwined?", ""]
    if notice:
        parts += [f"> **{notice}**", ""]
    parts += [
        what,
        "",
        "## Verdicts",
        "",
        f"Differences to the method's own clean encoder (margin ±{MARGIN:g}). "
        f"Fewer than {ENOUGH_SEEDS} seeds can only be indicative. C2 is an equivalence claim (two one-sided tests), C3 "
        "and C4 are one-sided, always of both readings together, at 5 % after Holm's adjustment over all lines; with "
        "one seed the intervals of its images decide.",
        "",
        markdown(claims_table(claims)) if len(claims) else "No poisoned arm among the runs: there is nothing to judge.",
        "",
        *(["**Take care.**", "", *(f"- {line}" for line in cautions(rows)), ""] if cautions(rows) else []),
    ]
    for title, paragraphs in readings.items():
        parts += [f"## {title}", "", *(line for text in paragraphs for line in (text, ""))]
    parts += ["## Figures", ""]
    for figure in figures:
        if figure.suffix == ".png" and figure.stem in CAPTIONS:
            link = figure.relative_to(path.parent).as_posix()
            parts += [f"![{figure.stem}]({link})", "", f"*{CAPTIONS[figure.stem]} [PDF]({link[:-4]}.pdf)*", ""]
    parts += ["## Limits", "", LIMITS, "", "## Runs", "", runs, ""]
    atomic_write(path, "\n".join(parts).encode())
    return path


def _runs(about: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": [f"{m['arm']}/seed{m['seed']}" for m in about],
            "images seen": [str(m["final"]["images_seen"]) for m in about],
            "views an image": [VIEWS.get(ARMS[m["arm"]].learner, "2") for m in about],
            "poisons": [str(len(m["plan"]["target_indices"]) if ARMS[m["arm"]].poisons_data else 0) for m in about],
            "wall s": [f"{m['seconds']['wall']:.0f}" for m in about],
            "CPU s": [f"{m['seconds']['cpu']:.0f}" for m in about],
            "threads": [str(m["identity"]["threads"]) for m in about],
            "torch": [m["identity"]["torch"] for m in about],
            "run hash": [m["run_hash"][:12] for m in about],
        }
    )
