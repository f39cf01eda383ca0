"""A recipe is valid or an InputError that names the field: never another exception, never a value bent to fit."""

import dataclasses
import json
import tempfile
import tomllib
from pathlib import Path

import intertwine.training
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intertwine.representations.errors import InputError
from intertwine.training.augment import Augment
from intertwine.training.recipe import Recipe, preset_names, read_recipe
from intertwine.training.triggers import Blend, Patch, Spectral

FIELDS = tuple(field.name for field in dataclasses.fields(Recipe))


def one_line(error: InputError) -> None:
    assert str(error)
    assert "\n" not in str(error)


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


# --- presets and files


def test_presets_are_the_shipped_files():
    folder = Path(intertwine.training.__file__).parent / "presets"
    assert preset_names() == sorted(path.stem for path in folder.glob("*.toml"))
    assert {"digits-demo", "fashion-small-cpu", "cifar10-ctrl-cpu"} <= set(preset_names())


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_with_every_value_of_its_file(name):
    recipe = read_recipe(name)
    assert recipe.name == name
    written = tomllib.loads((Path(intertwine.training.__file__).parent / "presets" / f"{name}.toml").read_text())
    base = written.pop("base", None)
    if base is not None:
        begun = read_recipe(base).to_dict()
        assert {k: v for k, v in recipe.to_dict().items() if k not in {*written, "name"}} == {
            k: v for k, v in begun.items() if k not in {*written, "name"}
        }
    for key, value in written.items():
        assert getattr(recipe, key) == (tuple(value) if isinstance(value, list) else value), key
    assert recipe.make_trigger() is not None


@pytest.mark.parametrize("name", preset_names())
def test_presets_round_trip_through_toml_like_files(name, tmp_path):
    recipe = read_recipe(name)
    values = {k: v for k, v in recipe.to_dict().items() if v is not None}
    lines = [f"{k} = {json.dumps(list(v) if isinstance(v, tuple) else v)}" for k, v in values.items()]
    assert read_recipe(write(tmp_path / "again.toml", "\n".join(lines))) == recipe


def test_file_is_named_after_itself_unless_it_says_otherwise(tmp_path):
    path = write(tmp_path / "mine.toml", "epochs = 3\n")
    assert read_recipe(path) == Recipe(name="mine", epochs=3)
    assert read_recipe(str(path), epochs="4", seed=2) == Recipe(name="mine", epochs=4, seed=2)
    assert read_recipe(write(path, 'name = "other"')).name == "other"
    assert read_recipe(path, name="third").name == "third"
    assert read_recipe(write(path, "")) == Recipe(name="mine")


def test_a_file_may_build_on_a_preset(tmp_path):
    recipe = read_recipe(write(tmp_path / "mine.toml", 'base = "digits-sig"\nepochs = 3'), seed=2)
    assert recipe == read_recipe("digits-sig").replace(name="mine", epochs=3, seed=2)
    for base in ("nowhere", "mine.toml", 3):
        with pytest.raises(InputError, match=r"base: expected one of .*digits-demo.*, received") as caught:
            read_recipe(write(tmp_path / "bad.toml", f"base = {json.dumps(base)}"))
        assert "\n" not in str(caught.value)


def test_a_trigger_without_a_strength_has_its_own():
    """.3, a fair blend, would be a third of a grey level for a sinusoid."""
    strengths = {name: Recipe(trigger=name).make_trigger().strength for name in ("blend", "patch", "sinusoid")}
    assert strengths == {"blend": 0.2, "patch": 1.0, "sinusoid": 40.0}
    assert Recipe(trigger="spectral").make_trigger(test=True).strength == 100.0
    assert Recipe(trigger="spectral", test_strength=50.0).make_trigger().strength == 100.0
    assert Recipe(trigger="warp").make_trigger().strength == 0.5


def test_messages_name_fields_that_a_recipe_has():
    with pytest.raises(InputError, match="trigger_frequency: expected 1 to 3 cycles in 8 pixels, received 6"):
        Recipe(trigger="sinusoid", image_size=8)
    assert Recipe(trigger="sinusoid", image_size=13)
    with pytest.raises(InputError, match="trigger_cells: expected 2 to"):
        Recipe(trigger="warp", trigger_cells=0)


def test_text_is_utf_8(tmp_path):
    path = write(tmp_path / "r.toml", 'data = "imagefolder:/tmp/Zoë"'.encode())
    assert read_recipe(path).data == "imagefolder:/tmp/Zoë"


@pytest.mark.parametrize(
    "text",
    [
        "epochs = ",
        "epochs 3",
        "epochs = 3\nepochs = 4",
        "[table",
        "name = 'open",
        "\x00",
        "seed = 1979-99-99",
        b"\xef\xbb\xbfepochs = 3",
    ],
)
def test_toml_syntax_errors_name_file_and_line(tmp_path, text):
    path = write(tmp_path / "broken.toml", text)
    with pytest.raises(InputError, match=r"recipe: .*broken\.toml is not valid TOML: ") as caught:
        read_recipe(path)
    assert "\n" not in str(caught.value)


def test_what_is_not_text_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"recipe: .*x\.toml cannot be read"):
        read_recipe(write(tmp_path / "x.toml", b"name = \xff\xfe"))


@pytest.mark.parametrize(
    "text", ["seed = " + "1" * 5000, "lr = 0x" + "f" * 5000, "arm = 0x" + "f" * 5000, "seed = " + "[" * 20000]
)
def test_toml_that_python_cannot_hold_is_refused(tmp_path, text):
    """Numbers of thousands of digits and thousands of nested lists: an odd error of Python's, one line of ours."""
    with pytest.raises(InputError):
        read_recipe(write(tmp_path / "x.toml", text))


@pytest.mark.parametrize("source", ["nowhere.toml", "digits", "", ".", "digits-demo.toml", "a\0b", "x" * 5000])
def test_neither_preset_nor_file_lists_the_presets(source):
    with pytest.raises(InputError, match=r"recipe: expected a TOML file or one of .*digits-demo.*, received") as caught:
        read_recipe(source)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[training]\nepochs = 3", "epochs = [3]", "epochs = {a = 1}", "squeeze = {a = 1}"])
def test_tables_and_lists_in_the_wrong_place_are_refused(tmp_path, text):
    with pytest.raises(InputError, match=r"(unknown field 'training'|epochs: expected|squeeze: expected)"):
        read_recipe(write(tmp_path / "x.toml", text))


# --- ranges


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("arm", "supervised"),
        ("arm", ""),
        ("poison_base", "all"),
        ("trigger", "Blend"),
        ("optimiser", "lars"),
        ("precision", "fp8"),
        ("arch", "resnet50"),
        ("n_train", 0),
        ("n_test", -1),
        ("hidden", 0),
        ("projection", 0),
        ("epochs", 0),
        ("epochs", -3),
        ("eval_every", 0),
        ("batch", 1),
        ("batch", 0),
        ("temperature", 0),
        ("temperature", -0.5),
        ("lr", 0),
        ("lr", -1e-3),
        ("lr", 1e39),
        ("momentum", 1),
        ("momentum", -0.1),
        ("warmup", 1.0),
        ("warmup", -0.1),
        ("weight_decay", -1e-9),
        ("width", 0),
        ("width", 5000),
        ("image_size", 4),
        ("image_size", 5000),
        ("crop", 0),
        ("crop", 1.1),
        ("flip", -0.1),
        ("flip", 1.1),
        ("jitter", 1.1),
        ("hue", -1),
        ("jitter_p", 2),
        ("grayscale", -0.1),
        ("strength", 0),
        ("strength", 1.5),
        ("test_strength", 0),
        ("test_strength", 1.5),
        ("trigger_cells", 0),
        ("trigger_cells", 17),
        ("squeeze", (0.9, 0.1)),
        ("squeeze", (-0.1, 1)),
        ("squeeze", (0, 1.5)),
        ("squeeze", (0.5, 0.5)),
        ("target", -1),
        ("poison_fraction", 0),
        ("poison_fraction", -0.5),
        ("poison_fraction", 1.5),
    ],
)
def test_values_out_of_range_name_the_field(field, value):
    """The docstring's promise: any value out of range, before any data are read."""
    with pytest.raises(InputError, match=rf"^{field}: expected .*received") as caught:
        Recipe(**{field: value})
    assert "\n" not in str(caught.value)


def test_the_size_of_a_patch_is_checked_against_the_image():
    with pytest.raises(InputError, match=r"^trigger_size: .*received 17: the trigger is larger than the image"):
        Recipe(trigger="patch", trigger_size=17)
    assert Recipe(trigger="patch", trigger_size=17, image_size=32).make_trigger().size == 17


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 2),
        ("crop", 1),
        ("warmup", 0),
        ("momentum", 0),
        ("strength", 1),
        ("test_strength", 1),
        ("flip", 0),
        ("hue", 1),
        ("epochs", 1),
        ("n_train", 1),
        ("width", 1),
        ("image_size", 8),
        ("seed", -5),
        ("seed", 2**70),
        ("weight_decay", 0),
        ("trigger_cells", 16),
        ("squeeze", (0, 1)),
        ("target", 9),
        ("poison_fraction", 1),
    ],
)
def test_the_ends_of_the_ranges_are_valid(field, value):
    assert getattr(Recipe(**{field: value}), field) == value


# --- the object


def test_replace_changes_only_what_is_named():
    recipe = read_recipe("digits-demo")
    changed = recipe.replace(arm="supcon-dirty", epochs="7")
    before, after = recipe.to_dict(), changed.to_dict()
    assert {k for k in before if before[k] != after[k]} == {"arm", "epochs"}
    assert changed.replace(arm=recipe.arm, epochs=recipe.epochs) == recipe
    assert recipe.replace() == recipe


def test_recipe_is_frozen_hashable_and_plain_json():
    recipe = read_recipe("digits-demo")
    with pytest.raises(dataclasses.FrozenInstanceError):
        recipe.epochs = 3
    assert hash(recipe) == hash(read_recipe("digits-demo"))
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert tuple(recipe.to_dict()) == FIELDS


def test_parts_are_made_from_the_fields():
    recipe = Recipe(crop=0.3, flip=0.1, jitter=0.2, hue=0.05, jitter_p=0.7, grayscale=0.6, width=5, image_size=24)
    assert recipe.augment() == Augment(0.3, 0.1, 0.2, 0.05, 0.7, 0.6)
    spec = recipe.encoder_spec()
    assert (spec.arch, spec.width, spec.image_size) == ("resnet8", 5, 24)
    blend = Recipe(trigger="blend", strength=0.4, trigger_cells=4).make_trigger()
    assert isinstance(blend, Blend)
    assert (blend.image_size, blend.strength, blend.cells) == (16, 0.4, 4)
    patch = Recipe(trigger="patch", strength=0.7, trigger_size=5).make_trigger()
    assert isinstance(patch, Patch)
    assert (patch.image_size, patch.strength, patch.size) == (16, 0.7, 5)
    assert Recipe(trigger="spectral", strength=50, image_size=32).make_trigger() == Spectral(32, 50.0)


@pytest.mark.parametrize("kind", ["blend", "patch"])
def test_test_strength_changes_the_strength_and_nothing_else(kind):
    recipe = Recipe(trigger=kind, strength=0.3, test_strength=0.9)
    train, test = recipe.make_trigger(), recipe.make_trigger(test=True)
    assert (train.strength, test.strength) == (0.3, 0.9)
    assert dataclasses.replace(test, strength=0.3) == train, "the same pattern"
    assert recipe.replace(test_strength=None).make_trigger(test=True) == train


def test_the_pattern_is_a_function_of_the_seed_and_the_same_in_every_arm():
    patterns = {arm: Recipe(arm=arm).make_trigger() for arm in ("simclr-clean", "supcon-dirty", "supervised-benign")}
    assert len(set(patterns.values())) == 1
    assert Recipe(seed=1).make_trigger() != Recipe(seed=0).make_trigger()


# --- anything at all


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=6)
    | st.sampled_from(["none", "true", "1", "0.5", "1e9", "0,1", "simclr-clean", "patch", "spectral", "sgd"])
    | st.binary(max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
relaxed = settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@relaxed
@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), values, max_size=6))
def test_any_dictionary_is_a_recipe_or_an_input_error(changes):
    try:
        recipe = Recipe.from_dict(changes)
    except InputError as error:
        one_line(error)
        return
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@relaxed
@given(st.sampled_from(FIELDS), values)
def test_any_value_of_one_field_is_kept_or_refused_by_name(field, value):
    try:
        kept = getattr(Recipe(**{field: value}), field)
    except InputError as error:
        named = str(error).split(":")[0]
    else:
        named = field
        if type(value) is type(kept):
            assert kept == value, "nothing is bent"
    # The default strength is none for every trigger, nor the default patch for every image.
    assert named == field or (field in ("trigger", "image_size") and named in ("strength", "trigger_size"))


toml_values = st.sampled_from(
    ["1", "-1", "0", "1.5", "nan", "-inf", "true", '"x"', "[1, 2]", "[]", "{}", "1979-05-27", "07:32:00", "0xff"]
)
toml_lines = st.tuples(st.sampled_from(FIELDS), toml_values).map(" = ".join)


@relaxed
@given(
    st.binary(max_size=40)
    | st.text(max_size=40).map(str.encode)
    | st.lists(toml_lines, max_size=4).map("\n".join).map(str.encode)
)
def test_any_file_is_a_recipe_or_an_input_error(content):
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "x.toml", content)
        try:
            assert isinstance(read_recipe(path), Recipe)
        except InputError as error:
            one_line(error)
