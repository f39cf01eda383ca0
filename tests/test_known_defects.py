"""Defects of other toolkits that we have met, each with the tests that our own code does not have it."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
DEFECTS = {
    "an in-place ReLU overwrites captured outputs": [
        "tests/representations/test_capture.py::test_defect_in_place_relu_overwrites_captured_outputs",
    ],
    "hooks are never removed": [
        "tests/representations/test_capture.py::test_defect_hooks_never_removed",
        "tests/representations/test_capture.py::test_hooks_are_removed_after_an_exception_in_the_encoder",
    ],
    "an absolute 1e-6 in the denominator of CKA makes it depend on scale": [
        "tests/representations/test_cka.py::test_defect_absolute_epsilon_makes_cka_depend_on_scale",
        "tests/representations/test_streaming.py::test_defect_absolute_epsilon_makes_cka_depend_on_scale",
        "tests/representations/test_minibatch.py::test_minibatch_in_float32_at_any_scale_and_mean",
    ],
    "the square root is missing in debiased CKA": [
        "tests/representations/test_cka.py::test_defect_missing_square_root",
        "tests/representations/test_streaming.py::test_rotation_and_shift_of_one_side_change_nothing",
    ],
    "clamping to [0, 1] biases averages": [
        "tests/representations/test_cka.py::test_defect_clamping_biases_averages",
        "tests/representations/test_minibatch.py::test_minibatch_is_noisier_than_the_exact_value_and_not_clamped",
        "tests/probes/test_alignment.py::test_the_value_is_not_clamped",
    ],
    "a short last batch is weighted like a full one": [
        "tests/representations/test_minibatch.py::test_defect_short_last_batch_weighted_equally",
        "tests/probes/test_gradients.py::test_large_blocks_go_through_a_few_images_at_a_time",
    ],
    "the last short batch is dropped from accuracy": [
        "tests/representations/test_capture.py::test_defect_last_short_batch",
        "tests/representations/test_evaluators.py::test_defect_last_short_batch_dropped",
        "tests/training/test_loop.py::test_acc_asr_and_r_acc_are_those_of_loops",
        "tests/analysis/panel/test_rates.py::test_rates_are_of_all_images_though_few_are_drawn",
    ],
    "kNN drops column 0 as the point itself": [
        "tests/representations/test_graph.py::test_defect_column_0_dropped_as_self_is_wrong_with_duplicates",
        "tests/representations/test_mixing.py::test_defect_column_0_dropped_as_self_is_wrong_with_duplicates",
        "tests/representations/test_evaluators.py::test_defect_column_0_dropped_as_self_is_wrong_with_duplicates",
    ],
    "biased CKA of noise is high": [
        "tests/representations/test_cka.py::test_defect_biased_cka_is_high_on_noise",
        "tests/representations/test_streaming.py::test_defect_biased_cka_is_high_on_noise",
    ],
    "a probe of random labels reaches 1.00 on its training images": [
        "tests/probes/test_linear.py::test_defect_random_labels_reach_one_on_the_training_images",
        "tests/probes/test_logistic.py::test_defect_random_label_probe_reaches_one_on_its_own_images",
    ],
    "one percent of rows with a shared shift lifts the CKA of independent data": [
        "tests/representations/test_cka.py::test_defect_one_percent_of_rows_with_a_shared_shift",
        "tests/analysis/panel/test_encoder_panel.py::test_cka_across_encoders_is_one_where_they_agree_and_subsets_are_apart",
    ],
    "the naive gradient cosine of small batches shrinks": [
        "tests/probes/test_alignment.py::test_defect_naive_small_batch_cosine_shrinks",
    ],
    "ASR counts the target class, or any wrong class": [
        "tests/representations/test_evaluators.py::test_defect_asr_counts_the_target_class",
        "tests/representations/test_evaluators.py::test_defect_asr_counts_the_wrong_class",
    ],
    "a probe is fitted and scored on the same samples": [
        "tests/probes/test_linear.py::test_defect_probe_fitted_and_scored_on_the_same_samples",
        "tests/probes/test_logistic.py::test_defect_probe_scored_on_images_it_was_fitted_to",
        "tests/probes/test_linear.py::test_no_pair_straddles_a_split",
    ],
    "a frozen backbone was not frozen": [
        "tests/probes/test_logistic.py::test_defect_frozen_backbone_that_was_not",
        "tests/probes/test_gradients.py::test_defect_a_frozen_backbone_that_was_not",
    ],
    "ASR is reported without the benign twin's": [
        "tests/analysis/panel/test_encoder_panel.py::test_asr_is_never_reported_without_what_it_is_compared_with",
    ],
    "a run is resumed as another one, because seed or augmentation was not compared": [
        "tests/training/test_resume_refused.py::test_resume_into_the_wrong_run",
    ],
    "checkpoint keys are matched by position": [
        "tests/checkpoints/test_store.py::test_tensors_are_matched_by_name_and_not_by_position",
    ],
    "UMAP has no seed, and its coordinates are thrown away": [
        "tests/representations/test_embedding.py::test_defect_umap_without_seed",
        "tests/analysis/runs/test_side_tables.py::test_it_comes_back_from_the_disk",
    ],
    "torch.load runs without weights_only": [
        "tests/checkpoints/test_unpickling.py::test_a_torch_load_without_weights_only",
        "tests/training/test_resume_refused.py::test_a_torch_load_without_weights_only",
        "tests/checkpoints/test_archives.py::test_nothing_that_a_pickle_asks_for_is_called",
    ],
    "a poison rate means another base": [
        "tests/training/test_poison.py::test_poison_rate_that_means_another_base",
    ],
    "images of 32 pixels go through the stem for ImageNet": [
        "tests/representations/test_encoders.py::test_defect_imagenet_stem_on_small_images",
    ],
}


def collected(path: Path) -> set[str]:
    """The tests of a file that run by default: its functions that are not marked as slow or as parity."""
    if not path.is_file():
        return set()
    tests = [node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)]
    left_out = ("pytest.mark.slow", "pytest.mark.parity", "pytest.mark.skip")
    marks = {test.name: [ast.unparse(mark) for mark in test.decorator_list] for test in tests}
    return {name for name in marks if name.startswith("test_") and not {*marks[name]} & {*left_out}}


def test_every_defect_has_a_test_that_runs():
    assert len(DEFECTS) == 22
    named = [test.split("::") for tests in DEFECTS.values() for test in tests]
    assert [f"{file}::{name}" for file, name in named if name not in collected(ROOT / file)] == []
