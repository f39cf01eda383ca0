"""Whether encoders answer to the trigger that they were trained on, or to others and untrained as well."""

import pandas as pd
from intertwine.analysis.results.schema import DEFAULT_EVALUATOR, EVALUABLE, EVALUATOR_TITLES
from intertwine.analysis.results.table import parse_params
from intertwine.representations.encoders import FEATURES
from judgements import finished, judged_by, last_rows

ABOVE = f"in these: {EVALUABLE:g} above them"
CLEARS = f"clears its benign twin by {EVALUABLE:g}"
"""Columns of :func:`specific`."""


def specific() -> pd.DataFrame:
    """Of studies that have read random triggers: ASR under the backdoor's own trigger and under others, by each
    evaluator and the network's own head; means over all seeds, and over those in which it clears its benign twin."""
    lines = []
    for name in finished():
        rows = last_rows(name)
        asr = rows[(rows["measure"] == "asr") & (rows["layer"] == FEATURES)]
        asr = asr.assign(evaluator=asr["params"].map(lambda p: parse_params(p).get("evaluator")))
        for arm in asr.loc[asr["reference"] == "random-trigger", "arm"].unique():
            for evaluator, spoken in (EVALUATOR_TITLES | {"head": "its own head"}).items():
                of = asr[(asr["arm"] == arm) & (asr["evaluator"] == evaluator)]
                if len(of):
                    value = of.pivot_table(index="seed", columns="reference", values="value")
                    lines.append({"study": name, "arm": arm, "evaluator": spoken, **_against_others(value)})
    return pd.DataFrame(lines)


def clean_answers() -> str:
    """Of studies in which clean contrastive encoders often send triggered images to the target: in how many seeds, in
    which the attack then does not count, and whether both evaluators count the same."""
    told = []
    for name in finished():
        by = {evaluator: _asr(name, "simclr-clean", evaluator) for evaluator in EVALUATOR_TITLES}
        if any("random-trigger" not in of or "benign" not in of for of in by.values()):
            continue
        own = by[judged_by(name)]
        if own["benign"].mean() < EVALUABLE:
            continue
        works = {evaluator: of[""] - of["benign"] >= EVALUABLE for evaluator, of in by.items()}
        out = own[~works[judged_by(name)]]
        agreed = pd.concat(works, axis=1)
        both, split = int(agreed.all(axis=1).sum()), agreed.index[agreed.any(axis=1) & ~agreed.all(axis=1)]
        values = "; ".join(f"{s}: " + " / ".join(told_with_benign(of.loc[s]) for of in by.values()) for s in split)
        counted = " and ".join(f"in {int(w.sum())} by {EVALUATOR_TITLES[evaluator]}" for evaluator, w in works.items())
        left = "; ".join(f"{seed}: {told_with_benign(row)}" for seed, row in out.iterrows())
        told.append(
            f"In `{name}` clean contrastive encoders answer to the trigger as well: by {EVALUATOR_TITLES[judged_by(name)]} their "
            f"ASR goes from {own['benign'].min():.3f} to {own['benign'].max():.3f} and is {EVALUABLE:g} or more in "
            f"{int((own['benign'] >= EVALUABLE).sum())} of {len(own)} seeds. The contrastive attack counts as working "
            f"{counted}, in {both} by both (by one alone, ASR and benign twin by {' / '.join(EVALUATOR_TITLES.values())}: {values}). "
            f"ASR and benign twin in seeds that do not count: {left}; no ASR clears a benign twin above .7 by {EVALUABLE:g}."
        )
    return "\n\n".join(told)


def told_with_benign(rates: "pd.Series[float]") -> str:
    return f"{rates['']:.3f} ({rates['benign']:.3f})"


def _asr(study: str, arm: str, evaluator: str) -> pd.DataFrame:
    """An arm's ASR at the end, a line a seed and a column a reference."""
    rows = last_rows(study)
    asr = rows[(rows["measure"] == "asr") & (rows["arm"] == arm) & (rows["layer"] == FEATURES)]
    asr = asr[asr["params"].map(lambda p: parse_params(p).get("evaluator")) == evaluator]
    return asr.pivot_table(index="seed", columns="reference", values="value")


def cleared(study: str, arm: str, evaluator: str = DEFAULT_EVALUATOR) -> str:
    """In how many of an arm's seeds ASR clears its benign twin."""
    value = _asr(study, arm, evaluator)
    return f"{(value[''] - value['benign'] >= EVALUABLE).sum()} of {len(value)}"


def _against_others(value: pd.DataFrame) -> dict[str, str]:
    own, other = value[""], value["random-trigger"]
    benign = value.get("benign")
    works = own - (0 if benign is None else benign) >= EVALUABLE
    return {
        **{"ASR": f"{own.mean():.3f}", "of seeds": f"{own.min():.3f}–{own.max():.3f}"},
        **{"benign": "–" if benign is None else f"{benign.mean():.3f}", "random triggers": f"{other.mean():.3f}"},
        CLEARS: f"{works.sum()} of {len(own)}",
        "in these: ASR": f"{own[works].mean():.3f}",
        "in these: random triggers": f"{other[works].mean():.3f}",
        ABOVE: f"{(own - other >= EVALUABLE)[works].sum()} of {works.sum()}",
    }
