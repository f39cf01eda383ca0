"""What the studies answer at a glance: verdicts counted, laid out by study and at matched ASR; learning beside them."""

import pandas as pd
from intertwine.analysis.claims.defence_claims import predicates_c5
from intertwine.analysis.claims.learning_claims import MARGIN, STATEMENTS
from intertwine.analysis.reports.learning_tables import learning_table
from intertwine.analysis.results.table import find_table, read_rows
from judgements import DOCS, claim_5, claims, effect, finished, p_value, verdicts

VERDICTS = ("supported", "inconclusive", "not supported", "not evaluable")
MATCHED = "claims_matched.csv"
CLAIM_5 = str(predicates_c5()["claim"]).partition(": ")[2]


def in_short() -> pd.DataFrame:
    """Of each claim: in how many contrasts it has which verdict, and how many of these are indicative only."""
    found = pd.concat([claims()[["claim", "verdict"]], claim_5()[["verdict"]].assign(claim="C5")])
    lines = []
    for claim, statement in (STATEMENTS | {"C5": CLAIM_5}).items():
        told = found.loc[found["claim"] == claim, "verdict"]
        lines.append({"claim": claim, "it says": statement, **{v: _count(told, v) for v in VERDICTS}})
    return pd.DataFrame(lines)


def _count(verdicts: pd.Series, verdict: str) -> str:
    indicative = int((verdicts == f"indicative: {verdict}").sum())
    every = indicative + int((verdicts == verdict).sum())
    return f"{every}" + f" ({'all' if indicative == every else indicative} indicative)" * bool(indicative)


def supported() -> str:
    """Which verdicts are in favour of the paper, in words."""
    of_claims, of_defences = claims(), claim_5()
    of_defences["study"] = of_defences["study"].str.extract(r"\[(.*)\]", expand=False)
    for table in (of_claims, of_defences):
        table["yes"] = table["verdict"].str.removeprefix("indicative: ") == "supported"
    told = sorted(of_claims.loc[of_claims["yes"], "claim"].unique())
    first = f"supports {', '.join(told)} somewhere" if told else "supports C2, C3 or C4"
    yes = of_defences[of_defences["yes"]]
    where = "; ".join(
        f"{row['verdict']}: {row['of']} on {row['study']}, {row['share of the class']} of the class, against "
        f"{row['against']}"
        for row in yes.to_dict("records")
    )
    some = "A verdict" if told else "No verdict"
    return f"{some} {first}. C5 has one in favour in {len(yes)} of {len(of_defences)} contrasts ({where or 'none'})."


def matrix() -> pd.DataFrame:
    """Verdicts of C2 to C4, a line a contrast and a column a study."""
    table = claims()
    table["contrast"] = [
        arm if "benign" in against else f"{arm} against {against}"
        for arm, against in zip(table["arm"], table["against"], strict=True)
    ]
    short = table["verdict"].str.replace("indicative: ", "(") + table["verdict"].str.startswith("indicative").map(
        {True: ")", False: ""}
    )
    wide = table.assign(short=short).pivot_table(
        index=["claim", "contrast"], columns="study", values="short", aggfunc="first", sort=False
    )
    return wide[finished()].fillna("–").reset_index()


def matched() -> pd.DataFrame:
    """Verdicts under the weakest trigger that reaches one level of ASR, of the studies that have them."""
    lines = []
    for name in finished():
        if not (DOCS / "studies" / name / MATCHED).is_file():
            continue
        before = {(r.claim, r.arm, r.against): r.verdict for r in verdicts(name).itertuples()}
        table = pd.read_csv(DOCS / "studies" / name / MATCHED, keep_default_na=False)
        for key, of in table.groupby(["claim", "arm", "against"], sort=False):
            claim, arm, against = map(str, key)
            effects = {row.measure: effect(row) for row in of.itertuples()}
            first = of.iloc[0]
            lines.append(
                {
                    **{"claim": claim, "study": name, "arm": arm, "against": against, "verdict": first["verdict"]},
                    "at full strength": before[claim, arm, against],
                    "mixing": effects["neighbour_mixing"],
                    "gradient alignment": effects["gradient_alignment"],
                    **{"seeds": ", ".join(of["seeds"].astype(str).unique()), "p (Holm)": p_value(first["p_holm"])},
                }
            )
    return pd.DataFrame(lines).sort_values("claim", kind="stable")


def learning() -> pd.DataFrame:
    """What the curves of each study say, as in its report."""
    tables = []
    for name in finished():
        table = learning_table(read_rows(find_table(DOCS / "studies" / name, "rows.csv")))
        table = table.drop(columns=["ACC", "ASR", "own alignment"]).assign(study=name)
        tables.append(
            table.rename(columns={ours: f"own alignment {ours}" for ours in table if ours.startswith("minus")})
        )
    found = pd.concat(tables, ignore_index=True)
    return found[["study", *(column for column in found.columns if column != "study")]]


def rooms() -> str:
    """Of the lines of C2: how far the mean could have been from 0 and still be called the same, by its own spread."""
    found = pd.concat([verdicts(name).assign(study=name) for name in finished()])
    found = found[(found["claim"] == "C2") & (found["ci90_low"] != "")]
    low, high, effects = (pd.to_numeric(found[column]) for column in ("ci90_low", "ci90_high", "effect"))
    found = found.assign(room=MARGIN - (high - low) / 2, inside=(low > -MARGIN) & (high < MARGIN), value=effects)
    mixing, gradient = (found[found["measure"] == measure] for measure in ("neighbour_mixing", "gradient_alignment"))
    none = int((gradient["room"] <= 0).sum())
    return (
        f"By mixing {int(mixing['inside'].sum())} of {len(mixing)} lines lie within ±{MARGIN:g} (90 % intervals; means "
        f"from {mixing['value'].min():.3f} to {mixing['value'].max():.3f}, and it can fall by no more than its benign twin). "
        f"By gradient alignment {int(gradient['inside'].sum())} do; the mean could have been at most "
        f"{gradient['room'].max():.3f} from 0, and in {none} of {len(gradient)} lines nothing would have passed: there "
        '"inconclusive" tells of the number of seeds and not of the encoders.'
    )
