"""C2, C3 and C4 as predicates on rows, written down before a study starts.

The operationalisation is ours, not the paper's. Readings are absolute: their end apart is 0. The end together is 1 for
mixing and interference; for mediation it depends on the encoder and is reported beside. The benign twin is shown and
never subtracted: it has no backdoor, and its reading is no zero.

- **C2**, a supervised arm learns its tasks *independently*, if mixing of hits (the smaller of its two sides) is less
  than .1, and interference I lies within ± .15 (two one-sided tests), and mediation by the class subspace exceeds that
  by a random one (M) by less than .2.
- **C3**, a contrastive arm *intertwines* its tasks, if mixing of hits is more than .5 of the mixing of the same
  encoder's false positives, and M is more than .2. In an encoder with fewer than 20 false positives the ratio is to
  split halves of the target class. The ratio is formed in each run. Collateral K is reported beside and decides
  nothing.
- **C4**, the arms *differ*, as a two-factor analysis: learner × poison, by contrasts of the means of arms. *Learner*:
  the contrastive learner minus another, mean over dirty and clean poison. *Poison*: clean minus dirty, mean over
  supervised and SimCLR. *Interaction*: the learners' difference under clean poison minus that under dirty poison. Each
  contrast must exceed .05 for mixing of hits, for M and for the size of I. *Simple effects* compare two learners under
  one poison. The energy coefficient H, K and the order of learning (half-time gap) are reported beside.

**Runs.** A run counts if it is backdoored: ASR by one of three evaluators exceeds the benign twin's by .3. Attack
success is an outcome, reported as k of n seeds. Seeds with a reading that is not ``ok`` are left out and named. If half
of an arm's backdoored seeds or more are left out, a claim is *not evaluable*, unless another part of it is shown to
fail. I is the mean over the snapshots after the first step, if five or more are ``ok``, else the value at the end.

**Tests.** Across runs the unit is the seed: one-sided t tests at 5 %. A contrast is paired by seed if its arms have the
same seeds, else Welch's. All parts of a claim must hold, so its p is the largest of theirs (intersection-union). The
opposite claim is that one part fails: its p is the smallest p of the opposite tests, times the number of parts
(Bonferroni). Holm's procedure adjusts both within a family: the registered claims of C2, of C3 and of C4, each family
as large as registered, whatever was run. Claims about other arms, and simple effects, are a family of their own for
each of C2 to C4, and *exploratory*.

**Verdicts.** *Supported* needs an adjusted p of at most .05 for the claim, *not supported* one for the opposite claim.
A result between them is *underpowered* if one of the parts that were not shown could have come out neither way. That
is: with its standard error, the power of both tests is less than .5, of one at 0 and of the other at twice the margin.
Their level is 5 % over the number of claims in the family, and over the number of parts for the opposite test. Any
other result is *inconclusive*. With fewer than ten seeds a verdict is only "indicative". With one run the intervals
over its images decide, and there is no p. The outcome of each part, pass, fail or open, is at 5 % without adjustment.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import pandas as pd

from ...training.arms import ARMS, Arm
from ..results.measures import PRIMARY
from .cells import FEW_FALSE_POSITIVES, SNAPSHOTS, Runs, backdoored_text, effect, runs_of
from .statistics import Effect, holm
from .verdicts import ENOUGH_SEEDS, FAIR, LEVEL, PARTS, Part, verdict

__all__ = ["CLAIM_COLUMNS", "REGISTERED", "STATEMENTS", "Claim", "claims_about", "family_size", "judge", "predicates"]

C4 = {
    "learner": "contrastive learning intertwines them more than this learner does",
    "poison": "clean poison intertwines them more than dirty poison does",
    "interaction": "the learners differ more under clean poison than under dirty poison",
    "simple effect": "under this poison, contrastive learning intertwines them more than this learner does",
}
STATEMENTS = {
    "C2": "the supervised arm learns its two tasks independently",
    "C3": "contrastive learning intertwines its two tasks",
}

REGISTERED = ("supervised-dirty", "supervised-clean", "simclr-dirty", "simclr-clean")
"""The arms whose claims are registered. The claims of all others are exploratory."""

BESIDE = {
    "C2": ("energy_coefficient", "collateral"),
    "C3": ("energy_coefficient", "collateral"),
    "C4": ("energy_coefficient", "collateral", "half_time_gap"),
}
"""Readings that are reported beside a claim and decide nothing."""

CLAIM_COLUMNS = [
    *("claim", "statement", "family", "arm", "against", "part", "side", "measure", "effect"),
    *("ci90_low", "ci90_high", "ci_low", "ci_high", "margin", "seeds", "design", "backdoored"),
    *("p", "p_fail", "outcome", "p_holm", "p_fail_holm", "verdict", "why"),
]


@dataclass(frozen=True)
class Claim:
    """A claim about one arm or a contrast of arms. ``weights``: arm → weight of its mean."""

    name: str
    statement: str
    arm: str
    against: str
    weights: dict[str, float]
    registered: bool

    @property
    def family(self) -> str:
        return "registered" if self.registered else "exploratory"

    @property
    def parts(self) -> tuple[Part, ...]:
        return PARTS[self.name]


def claims_about(arms: Iterable[str]) -> list[Claim]:
    """The claims about these arms, registered ones first within C2, C3 and C4. A registered contrast is among them if
    one arm of either learner is. An attack on a trained model is no way of learning: no claim is about it."""
    known = {arm: _kind(arm) for arm in sorted(set(arms), key=_order)}
    known = {arm: kind for arm, kind in known.items() if kind.poisons_data}
    found = []
    for arm, kind in known.items():
        name = "C2" if kind.learner == "supervised" else "C3" if not kind.labelled else ""
        if name:
            found.append(Claim(name, STATEMENTS[name], arm, "", {arm: 1.0}, arm in REGISTERED))
    learners = dict.fromkeys(kind.learner for kind in known.values())
    for one in (learner for learner in learners if not Arm(learner, "").labelled):
        for other in (learner for learner in learners if Arm(learner, "").labelled):
            found += _contrasts(one, other, known)
    return sorted(found, key=lambda claim: (claim.name, not claim.registered))


def _contrasts(one: str, other: str, present: Iterable[str]) -> list[Claim]:
    """C4 of a contrastive learner against another. Contrasts that are not registered need all their arms."""
    present = set(present)
    dirty, clean = ({f"{one}-{poison}": 1.0, f"{other}-{poison}": -1.0} for poison in ("dirty", "clean"))
    registered = {*dirty, *clean} == set(REGISTERED)
    found = []
    if registered or {*dirty, *clean} <= present:
        mean = {arm: weight / 2 for arm, weight in (dirty | clean).items()}
        between = clean | {arm: -weight for arm, weight in dirty.items()}
        found = [
            Claim("C4", C4["learner"], one, other, mean, registered),
            Claim("C4", C4["interaction"], f"{one} − {other}, clean", "dirty", between, registered),
        ]
    if registered:
        poison = {arm: 0.5 if arm.endswith("-clean") else -0.5 for arm in REGISTERED}
        found.insert(1, Claim("C4", C4["poison"], "clean", "dirty", poison, True))
    for pair in (dirty, clean):
        if set(pair) <= present:
            arm, against = pair
            found.append(Claim("C4", C4["simple effect"], arm, against, pair, False))
    return found


def _kind(arm: str) -> Arm:
    learner, _, poison = arm.partition("-")
    return Arm(learner, poison or "model")


def _order(arm: str) -> tuple[int, str, int]:
    """As in the table of arms; learners that it does not have follow, dirty poison first."""
    learners = list(dict.fromkeys(a.learner for a in ARMS.values()))
    kind = _kind(arm)
    place = learners.index(kind.learner) if kind.learner in learners else len(learners)
    return place, kind.learner, ("benign", "dirty", "clean", kind.poison).index(kind.poison)


def family_size(claim: Claim, claims: Sequence[Claim]) -> int:
    """Claims in its family: of the registered ones as many as were registered, of the others those of ``claims``."""
    if claim.registered:
        claims = claims_about(REGISTERED)
    return sum(c.name == claim.name and c.registered == claim.registered for c in claims)


def judge(rows: pd.DataFrame) -> pd.DataFrame:
    """Verdicts on C2, C3 and C4 from the rows of runs, snapshots included: one line a claim and part, then those of the
    readings beside it. Columns are :data:`CLAIM_COLUMNS`."""
    runs = runs_of(rows)
    claims = claims_about(runs)
    effects = [[effect(runs, part.measure, claim.weights) for part in claim.parts] for claim in claims]
    table: list[dict[str, object]] = []
    for name, registered in dict.fromkeys((claim.name, claim.registered) for claim in claims):
        family = [i for i, claim in enumerate(claims) if (claim.name, claim.registered) == (name, registered)]
        size = family_size(claims[family[0]], claims)
        holds = holm([_p_all(PARTS[name], effects[i]) for i in family], size)
        fails = holm([_p_one_fails(PARTS[name], effects[i]) for i in family], size)
        for i, p_holm, p_fail_holm in zip(family, holds, fails, strict=True):
            decided = verdict(PARTS[name], effects[i], p_holm, p_fail_holm, LEVEL / size)
            about = {"p_holm": p_holm, "p_fail_holm": p_fail_holm, "verdict": decided}
            table += _lines(claims[i], effects[i], runs, about)
    return pd.DataFrame(table, columns=CLAIM_COLUMNS)


def _p_all(parts: Sequence[Part], effects: Sequence[Effect]) -> float:
    """The largest p (intersection-union); NaN where a part cannot be tested."""
    ps = [part.p(e) for part, e in zip(parts, effects, strict=True)]
    return max(ps) if all(p == p for p in ps) else float("nan")


def _p_one_fails(parts: Sequence[Part], effects: Sequence[Effect]) -> float:
    """The smallest p of the opposite tests times the number of parts; NaN where no part can be tested."""
    ps = [p for part, e in zip(parts, effects, strict=True) if (p := part.p_fail(e)) == p]
    return min(1.0, min(ps) * len(parts)) if ps else float("nan")


def _lines(claim: Claim, effects: Sequence[Effect], runs: Runs, about: dict[str, object]) -> list[dict[str, object]]:
    beside = {measure: effect(runs, measure, claim.weights) for measure in BESIDE[claim.name]}
    shared = {"claim": claim.name, "statement": claim.statement, "family": claim.family, "arm": claim.arm} | about
    shared |= {"against": claim.against, "backdoored": backdoored_text(runs, claim.weights)}
    lines = [
        shared
        | {"part": part.words, "side": part.side, "measure": part.measure, "margin": part.margin}
        | {"p": part.p(e), "p_fail": part.p_fail(e), "outcome": part.outcome(e)}
        | _numbers(e)
        for part, e in zip(claim.parts, effects, strict=True)
    ]
    nothing = {"part": "beside", "side": "", "margin": float("nan"), "p": float("nan"), "p_fail": float("nan")}
    return lines + [
        shared | nothing | {"measure": measure, "outcome": ""} | _numbers(e)
        for measure, e in beside.items()
        if e.value == e.value
    ]


def _numbers(e: Effect) -> dict[str, object]:
    return {
        "effect": e.value,
        **dict(zip(("ci90_low", "ci90_high"), e.interval90, strict=True)),
        **dict(zip(("ci_low", "ci_high"), e.interval95, strict=True)),
        **{"seeds": e.seeds, "design": e.design, "why": e.why or e.left_out},
    }


def predicates() -> dict[str, object]:
    """What decides a verdict, as plain JSON: a study writes it down before it starts."""
    registered = claims_about(REGISTERED)
    return {
        "version": 2,
        "registered arms": REGISTERED,
        "registered claims": [
            {"claim": c.name, "statement": c.statement, "arm": c.arm, "against": c.against, "weights": c.weights}
            for c in registered
            if c.registered
        ],
        "parts": {name: [asdict(part) for part in parts] for name, parts in PARTS.items()},
        "readings": PRIMARY,
        "beside": BESIDE,
        "level": LEVEL,
        "adjusted by": "Holm, within the registered claims of each of C2, C3 and C4",
        "seeds for a verdict": ENOUGH_SEEDS,
        "false positives for a ratio": FEW_FALSE_POSITIVES,
        "snapshots for a mean": SNAPSHOTS,
        "underpowered below a power of": FAIR,
        "rules": __doc__,
    }
