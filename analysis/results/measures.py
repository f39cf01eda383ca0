"""The table of measures: family, title, range, ends and invariances of each.

Property tests, figure labels and reports use this table. Families: A effect of the backdoor, B mixing of
representations, C shared machinery, D learning, E description, R rates. Only B, C and D are evidence of entanglement.
"""

from dataclasses import dataclass

from ...probes.gradients import WHOLE
from ...representations.encoders import FEATURES

__all__ = ["INCLUDING", "IS_BACKDOORED", "LABELS", "MEASURES", "MIDDLE", "PRIMARY", "RATES", "Measure"]

ROTATION, SCALE, SHIFT = "rotation", "scale", "shift"


@dataclass(frozen=True)
class Measure:
    """One line of the table of measures.

    range: smallest and largest value. intertwined, apart: its value at either end (NaN where it has no such end).
    invariances: transformations of all features together that do not change the value.
    dial: the dial that it follows on planted truth: ``mixing``, ``residual``, ``reach`` or ``sharing``.
    rises: whether it rises with the dial.
    evidence: what it is evidence of, in a few words (families B, C and D only).
    """

    name: str
    family: str
    title: str
    range: tuple[float, float]
    intertwined: float = float("nan")
    apart: float = float("nan")
    invariances: frozenset[str] = frozenset()
    dial: str = ""
    rises: bool = True
    evidence: str = ""


ALL = frozenset({ROTATION, SCALE, SHIFT})
NO_TURN = frozenset({SCALE, SHIFT})
INFINITY = float("inf")

MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("acc", "R", "ACC: accuracy on clean test images", (0, 1)),
        Measure("asr", "R", "ASR: share of triggered non-targets predicted as the target", (0, 1)),
        Measure("r_acc", "R", "R-Acc: share of triggered non-targets predicted right", (0, 1)),
        Measure(
            "distance_ratio",
            "A",
            "Distance ratio: triggered to other classes over triggered to target",
            (0, INFINITY),
            invariances=ALL,
        ),
        # By cosine: rotation and scale do not matter, but the origin does.
        Measure(
            "confusion_ratio", "A", "Confusion ratio (reimplemented)", (0, 1), invariances=frozenset({ROTATION, SCALE})
        ),
        Measure("displacement_cosine", "A", "Displacement cosine", (-1, 1), invariances=ALL),
        Measure(
            "neighbour_mixing",
            "B",
            "Neighbour mixing of triggered and target images",
            (0, 2),
            1.0,
            0.0,
            ALL,
            "residual",
            False,
            "a shared neighbourhood (fooled by hubs)",
        ),
        Measure(
            "smaller_side_mixing",
            "B",
            "Neighbour mixing, the smaller of its two sides",
            (0, 2),
            1.0,
            0.0,
            ALL,
            "mixing",
            evidence="a shared neighbourhood, seen from both sets",
        ),
        Measure(
            "energy_coefficient",
            "B",
            "Energy coefficient of hits and target images",
            (-1, 1),
            0.0,
            invariances=ALL,
            dial="mixing",
            rises=False,
            evidence="equal distributions",
        ),
        Measure(
            "silhouette",
            "B",
            "Silhouette of triggered against target images",
            (-1, 1),
            0.0,
            1.0,
            ALL,
            "residual",
            evidence="one cluster or two",
        ),
        Measure(
            "trigger_separability",
            "B",
            "Trigger AUC within the target class",
            (0, 1),
            0.5,
            1.0,
            dial="residual",
            evidence="a trigger that can be read inside its class",
        ),
        Measure(
            "trigger_selectivity",
            "B",
            "Trigger AUC minus control task",
            (-1, 1),
            0.0,
            0.5,
            dial="residual",
            evidence="the same, beyond what a probe can memorise",
        ),
        Measure(
            "trigger_codelength",
            "B",
            "Trigger codelength, bits a label",
            (0, INFINITY),
            1.0,
            0.1,
            dial="residual",
            rises=False,
            evidence="how easily the trigger is read inside its class",
        ),
        Measure(
            "source_accuracy",
            "A",
            "Source class decoded from triggered images",
            (0, 1),
            apart=1.0,
            dial="reach",
            rises=False,
        ),
        Measure("residual_energy", "A", "Residual energy of the displacement", (0, 1), 0.0, 1.0, ALL, "residual"),
        # A measure of single units, each divided by its own spread: a rotation mixes them.
        Measure(
            "neuron_overlap",
            "E",
            "Unit profiles of trigger and target class, cosine",
            (-1, 1),
            1.0,
            0.0,
            NO_TURN,
            "sharing",
        ),
        Measure(
            "erasure_cost_acc",
            "C",
            "ACC lost when the trigger is erased",
            (-1, 1),
            apart=0.0,
            dial="sharing",
            evidence="directions that serve both tasks",
        ),
        Measure(
            "mediation",
            "C",
            "Hits kept by the class subspace alone",
            (0, 1),
            1.0,
            0.0,
            evidence="a backdoor that works through class directions",
        ),
        Measure(
            "mediation_excess",
            "C",
            "Hits kept by the class subspace, minus a random one",
            (-1, 1),
            1.0,
            0.0,
            dial="sharing",
            evidence="the same, beyond a random subspace of equal rank",
        ),
        Measure(
            "reverse_mediation",
            "C",
            "Hits undone in the class subspace",
            (0, 1),
            1.0,
            0.0,
            evidence="a backdoor that needs class directions",
        ),
        Measure(
            "reverse_mediation_excess",
            "C",
            "Hits undone, minus a random subspace",
            (-1, 1),
            1.0,
            0.0,
            evidence="the same, beyond a random subspace of equal rank",
        ),
        Measure(
            "interference",
            "C",
            "Interference: cosine of class-balanced gradients",
            (-1, 1),
            1.0,
            0.0,
            dial="sharing",
            evidence="weights that serve both tasks, the target class included",
        ),
        Measure(
            "benign_step_effect",
            "C",
            "Log-odds that the backdoor gains for each unit that a benign step gains",
            (-INFINITY, INFINITY),
            apart=0.0,
            evidence="benign training that feeds the backdoor",
        ),
        Measure(
            "backdoor_step_effect",
            "C",
            "Log-odds that the benign task gains for each unit that a backdoor step gains",
            (-INFINITY, INFINITY),
            apart=0.0,
            evidence="a backdoor whose training feeds the benign task",
        ),
        Measure(
            "disentanglement_error",
            "D",
            "Share of clean images whose class the backdoor's task vector changes",
            (0, 1),
            1.0,
            0.0,
            evidence="a backdoor whose weights change the benign task",
        ),
        Measure(
            "collateral",
            "C",
            "Recall of the target lost with the trigger's subspace",
            (-INFINITY, INFINITY),
            1.0,
            0.0,
            dial="sharing",
            evidence="a class that is lost with its backdoor",
        ),
        Measure(
            "ablation_recall",
            "C",
            "Recall of the target lost with the trigger's channels",
            (-1, 1),
            apart=0.0,
            evidence="channels that serve both tasks",
        ),
        Measure(
            "ablation_asr",
            "C",
            "Hits lost with the target's channels",
            (-1, 1),
            apart=0.0,
            evidence="channels that serve both tasks",
        ),
        Measure(
            "own_gradient_alignment",
            "D",
            "Alignment of the arm's own loss, with and without trigger",
            (-1, 1),
            evidence="one direction of learning, within an arm",
        ),
        Measure(
            "loss_rank_auc",
            "D",
            "Chance that a poison's loss is below a clean one's",
            (0, 1),
            evidence="poisons learned before clean images",
        ),
        Measure(
            "half_time_gap",
            "D",
            "Steps to half of ASR minus steps to half of ACC",
            (-INFINITY, INFINITY),
            evidence="a backdoor learned before the classes",
        ),
        Measure(
            "dynamics_coupling",
            "D",
            "Correlation of the changes of ACC and ASR",
            (-1, 1),
            evidence="accuracy and attack learned together",
        ),
        Measure(
            "forgetting_coupling",
            "D",
            "ACC lost for each point of ASR unlearned",
            (-INFINITY, INFINITY),
            1.0,
            0.0,
            evidence="accuracy unlearned with the attack",
        ),
        Measure(
            "acc_barrier",
            "D",
            "Fall of ACC on the line from the benign twin",
            (0, 1),
            evidence="weights that left the basin of the benign twin",
        ),
        Measure("backdoored", "R", "Whether ASR clears the benign twin's by .3, by any evaluator", (0, 1)),
        Measure("confusion", "R", "Share of triggered non-targets that leave their class for another", (0, 1)),
        # Of the first studies. It left the target class out of the benign task: a random network reads −.4 to −.7.
        Measure("gradient_alignment", "E", "Gradient alignment without the target class (first studies)", (-1, 1)),
        Measure("asr_including_target", "R", "ASR over triggered images of all classes, the target's too", (0, 1)),
        Measure("asr_half_point", "E", "Point on the line from the benign twin at which ASR is half", (0, 1)),
        Measure("transplant_gain", "E", "Share of ASR that comes with one layer", (-INFINITY, INFINITY)),
        Measure("transplant_loss", "E", "Share of ASR that goes with one layer", (-INFINITY, INFINITY)),
        Measure("detection_auroc", "R", "AUROC of a detector over the training images", (0, 1)),
        Measure("detection_auprc", "R", "AUPRC of a detector over the training images", (0, 1)),
        Measure("detection_tpr", "R", "Share of poisons that a detector flags", (0, 1)),
        Measure("detection_fpr", "R", "Share of clean training images that a detector flags", (0, 1)),
        Measure("group_poison_share", "R", "Share of poison in the group of labels that holds most of it", (0, 1)),
        Measure("wall_seconds", "R", "Seconds that a defence took", (0, INFINITY)),
        Measure("cpu_seconds", "R", "CPU seconds that a defence took", (0, INFINITY)),
        Measure("roc", "R", "Share of poisons above the threshold at a false-positive rate", (0, 1)),
        Measure("inspection_flagged", "R", "Whether an inspection reports a backdoor", (0, 1)),
        Measure("inspection_target", "R", "Whether an inspection names the target class", (0, 1)),
        Measure("inspection_score", "R", "Statistic of an inspection over its threshold", (0, INFINITY)),
        Measure("matched_strength", "E", "Share of the test strength at which ASR reaches a half", (0, 1)),
        Measure("acc_windowed", "R", "ACC, mean of the last tenth of training", (0, 1)),
        Measure("asr_windowed", "R", "ASR, mean of the last tenth of training", (0, 1)),
        Measure("r_acc_windowed", "R", "R-Acc, mean of the last tenth of training", (0, 1)),
        Measure("erasure_cost_asr", "A", "ASR lost when the trigger is erased", (-1, 1)),
        Measure(
            "content_retention",
            "E",
            "Spread of triggered images over that of the same images, clean",
            (0, INFINITY),
            invariances=ALL,
        ),
        Measure("density_kdist", "E", "Sparser than the other set, by k-distance (AUC)", (0, 1), invariances=ALL),
        Measure("density_slof", "E", "Sparser than the other set, by SLOF (AUC)", (0, 1), invariances=ALL),
        Measure("density_dao", "E", "Sparser than the other set, by DAO (AUC)", (0, 1), invariances=ALL),
        Measure("cka", "E", "Debiased linear CKA", (-1, 1), invariances=ALL),
        Measure("channel_lipschitz", "E", "Share of channels flagged by their Lipschitz bound", (0, 1)),
        Measure("attribution_iou", "E", "IoU of attribution and changed pixels", (0, 1)),
        Measure("attribution_energy", "E", "Attribution inside the changed pixels", (0, 1)),
        Measure("frequency_energy", "E", "Gradient in the trigger's frequencies", (0, 1)),
        Measure("influence_auc", "E", "Influence of triggered over clean target images, AUC", (0, 1)),
        Measure("class_probe", "E", "Accuracy of a logistic probe for the class", (0, 1)),
        Measure("trigger_probe", "E", "Accuracy of a logistic probe for the trigger", (0, 1)),
        Measure("effective_rank", "E", "Effective rank", (1, INFINITY), invariances=ALL),
        Measure(
            "rankme", "E", "RankMe: effective rank about 0", (1, INFINITY), invariances=frozenset({ROTATION, SCALE})
        ),
        Measure("spectrum_decay", "E", "Power-law exponent of the spectrum", (0, INFINITY), invariances=ALL),
        Measure("two_nn", "E", "TwoNN intrinsic dimension", (0, INFINITY), invariances=ALL),
        Measure("lid", "E", "Local intrinsic dimension (MLE)", (0, INFINITY), invariances=ALL),
        Measure("uniformity", "E", "Uniformity on the sphere", (-8, 0), invariances=frozenset({ROTATION, SCALE})),
        Measure("alignment", "E", "Alignment of clean and triggered", (0, 4), invariances=frozenset({ROTATION, SCALE})),
        Measure("fisher_ratio", "E", "Fisher ratio of the classes", (0, INFINITY), invariances=ALL),
        Measure("purity", "E", "Neighbourhood purity of the classes", (0, 1), invariances=ALL),
        Measure("nc1", "E", "NC1: variability within classes", (0, INFINITY), invariances=ALL),
        Measure("nc2", "E", "NC2: distance from a simplex", (0, INFINITY), invariances=ALL),
        # The classifier would have to be rotated too.
        Measure("nc3", "E", "NC3: distance of classifier and means", (0, 2), invariances=NO_TURN),
        Measure("subspace_overlap", "E", "Displacement inside the between-class space", (0, 1), invariances=ALL),
    )
}

LABELS: dict[str, str] = {name: name.replace("_", " ") for name in MEASURES} | {
    **{"acc": "ACC", "asr": "ASR", "r_acc": "R-Acc", "asr_including_target": "ASR (target class included)"},
    **{"acc_windowed": "ACC (last tenth)", "asr_windowed": "ASR (last tenth)", "r_acc_windowed": "R-Acc (last tenth)"},
    **{"detection_auroc": "AUROC", "detection_auprc": "AUPRC", "detection_tpr": "TPR", "detection_fpr": "FPR"},
    **{"roc": "TPR at an FPR", "confusion_ratio": "confusion ratio (reimplemented)", "half_time_gap": "half-time gap"},
    **{"trigger_separability": "trigger separability (AUC)", "trigger_codelength": "trigger codelength (MDL)"},
    **{"erasure_cost_acc": "erasure cost (ACC lost)", "erasure_cost_asr": "erasure cost (ASR lost)"},
    **{"loss_rank_auc": "loss rank (AUC)", "acc_barrier": "ACC barrier", "asr_half_point": "half point of ASR"},
    **{"smaller_side_mixing": "mixing (smaller side)", "neighbour_mixing": "mixing (triggered side)"},
    **{"transplant_gain": "ASR gained with the layer", "transplant_loss": "ASR lost with the layer"},
    **{"matched_strength": "strength at an ASR of .5", "channel_lipschitz": "channels flagged (Lipschitz)"},
    **{"attribution_iou": "attribution IoU", "influence_auc": "influence (AUC)", "cka": "CKA (debiased)"},
    **{"density_kdist": "density, k-distance (AUC)", "density_slof": "density, SLOF (AUC)"},
    **{"density_dao": "density, DAO (AUC)"},
    **{
        "ablation_asr": "hits lost with the class's channels",
        "ablation_recall": "recall lost with the trigger's channels",
    },
    **{"rankme": "RankMe", "two_nn": "TwoNN dimension", "lid": "local intrinsic dimension"},
    **{"fisher_ratio": "Fisher ratio", "nc1": "NC1", "nc2": "NC2", "nc3": "NC3"},
}
"""Measure → what figures call it: its name in words, or the field's own name."""

MIDDLE = "layer2"
"""The middle layer of this project's ResNets, at which interventions decide."""

PRIMARY: dict[str, dict[str, str]] = {
    "smaller_side_mixing": {"layer": FEATURES, "subset": "hits"},
    "energy_coefficient": {"layer": FEATURES, "subset": "hits"},
    "mediation_excess": {"layer": MIDDLE, "subset": "hits"},
    "interference": {"layer": WHOLE, "subset": "clean"},
    "collateral": {"layer": FEATURES, "subset": "clean_target"},
}
"""The readings that decide claims or are shown beside them, with the layer and subset of each."""

RATES = ("acc", "asr", "r_acc")
"""Rates that are always computed: hits and ``backdoored`` need them."""
IS_BACKDOORED = "backdoored"
"""Whether a run counts as evidence; attack success is reported as an outcome."""
INCLUDING = "asr_including_target"
"""Computed by name only: some official code reports it as ASR, but it does not measure the backdoor."""
