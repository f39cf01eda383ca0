"""The declaration of a recipe's fields: help and schema, text that is read, and one-line errors that name the field."""

import typing
from pathlib import Path

import pytest
from intertwine.representations.encoders import ARCHITECTURES
from intertwine.representations.errors import InputError
from intertwine.training.arms import ARMS, Arm
from intertwine.training.fields import described
from intertwine.training.recipe import Recipe, read_recipe
from pydantic import TypeAdapter

KINDS = typing.get_type_hints(Recipe)
FIELDS = tuple(KINDS)
WHOLE = [name for name, kind in KINDS.items() if kind in (int, int | None)]
NUMBERS = [name for name, kind in KINDS.items() if kind in (float, float | None)]
TEXTS = [name for name, kind in KINDS.items() if kind is str or typing.get_origin(kind) is typing.Literal]
OPTIONAL = [name for name, kind in KINDS.items() if type(None) in typing.get_args(kind)]


# --- help and schema


def test_every_field_has_a_group_a_type_a_default_and_a_meaning():
    fields = {field.name: field for field in described(Recipe)}
    assert tuple(fields) == FIELDS
    assert [
        f.name
        for f in fields.values()
        if not f.meaning.endswith(".") or len(f.meaning.partition(" One of")[0].split()) > 25
    ] == []
    groups = list(dict.fromkeys(f.group for f in fields.values()))
    assert groups == ["run", "data", "poison", "encoder", "objective", "augmentation", "optimisation"]
    assert [fields[name].default for name in ("poison_fraction", "strength", "squeeze", "quantise")] == [
        *("0.5", "", "0.0,1.0", "true")
    ]
    assert {f.type for f in fields.values()} == {"int", "float", "str", "true|false", "float,float"}
    assert fields["trigger"].meaning == "Kind of trigger. One of blend, patch, spectral, sinusoid, warp."


def test_every_default_reads_back_as_itself():
    defaults = {field.name: field.default for field in described(Recipe) if field.default}
    assert Recipe.from_dict(defaults) == Recipe()


def test_the_schema_has_types_limits_and_choices():
    schema = TypeAdapter(Recipe).json_schema()
    assert tuple(schema["properties"]) == FIELDS
    assert not schema["additionalProperties"]
    epochs, trigger, crop = (schema["properties"][name] for name in ("epochs", "trigger", "crop"))
    assert (epochs["type"], epochs["minimum"], epochs["default"], epochs["group"]) == ("integer", 1, 40, "optimisation")
    assert trigger["enum"] == ["blend", "patch", "spectral", "sinusoid", "warp"]
    assert (crop["exclusiveMinimum"], crop["maximum"]) == (0, 1)
    assert schema["properties"]["arm"]["enum"] == list(ARMS)
    assert schema["properties"]["arch"]["enum"] == list(ARCHITECTURES)


def test_arms_are_learner_and_poison():
    assert {name: f"{arm.learner}-{arm.poison}" for name, arm in ARMS.items() if name != "badencoder"} == {
        name: name for name in ARMS if name != "badencoder"
    }
    assert ARMS["badencoder"] == Arm("badencoder", "model")


def test_fields_are_given_by_name():
    with pytest.raises(InputError, match="recipe: expected fields by name, received 'mine'"):
        Recipe("mine")


def test_a_long_value_is_cut():
    with pytest.raises(InputError) as caught:
        Recipe(epochs="x" * 5000)
    assert len(str(caught.value)) < 300


# --- unknown fields


@pytest.mark.parametrize(
    ("given_name", "nearest"),
    [
        ("epoch", "epochs"),
        ("batch_size", "batch"),
        ("greyscale", "grayscale"),
        ("imagesize", "image_size"),
        ("optimizer", "optimiser"),
        ("poison_rate", "poison_"),
        ("quantize", "quantise"),
        ("temprature", "temperature"),
        ("LR", ""),
        ("", ""),
    ],
)
def test_an_unknown_field_names_the_nearest(given_name, nearest):
    pattern = rf"recipe: unknown field {given_name!r}; the nearest one is '{nearest}"
    with pytest.raises(InputError, match=pattern):
        Recipe.from_dict({given_name: 1})
    with pytest.raises(InputError, match=pattern):
        Recipe().replace(**{given_name: 1})
    with pytest.raises(InputError, match=pattern):
        read_recipe("digits-demo", **{given_name: 1})


# --- types


@pytest.mark.parametrize("field", WHOLE)
@pytest.mark.parametrize("value", [True, 1.0, 1.5, "1.0", "1e2", "", "one", [1], {}, b"1", float("nan")])
def test_whole_numbers_are_not_bent(field, value):
    with pytest.raises(InputError, match=rf"^{field}: expected a whole number, received "):
        Recipe(**{field: value})


@pytest.mark.parametrize("field", NUMBERS)
@pytest.mark.parametrize("value", [True, "", "much", "nan", "inf", "1e999", [0.5], float("nan"), float("inf"), 1j])
def test_numbers_are_finite_numbers(field, value):
    with pytest.raises(InputError, match=rf"^{field}: expected a finite number, received "):
        Recipe(**{field: value})


@pytest.mark.parametrize("field", TEXTS)
@pytest.mark.parametrize("value", [None, 1, True, ["digits"], b"digits", Path("digits")])
def test_texts_are_texts(field, value):
    with pytest.raises(InputError, match=rf"^{field}: expected text, received "):
        Recipe(**{field: value})


@pytest.mark.parametrize("value", [0, 1, None, "yes", "1", "", 1.0])
def test_switches_are_true_or_false(value):
    with pytest.raises(InputError, match=r"^quantise: expected true or false, received "):
        Recipe(quantise=value)


@pytest.mark.parametrize("value", [0.5, "0.1", "0.1,0.5,0.9", (), (0.1,), (0, 1, 1), None, {}, "", 1])
def test_pairs_have_two_numbers(value):
    with pytest.raises(InputError, match=r"^squeeze: expected 2 numbers, received "):
        Recipe(squeeze=value)


@pytest.mark.parametrize("value", [("a", 1), "a,b", (None, 1), (True, 1), ((0, 1), 1), "0.1,nan"])
def test_both_of_a_pair_are_numbers(value):
    with pytest.raises(InputError, match=r"^squeeze: expected a finite number, received "):
        Recipe(squeeze=value)


@pytest.mark.parametrize("field", [name for name in FIELDS if name not in OPTIONAL])
def test_only_optional_fields_may_be_left_open(field):
    with pytest.raises(InputError, match=rf"^{field}: expected"):
        Recipe(**{field: None})


@pytest.mark.parametrize("field", OPTIONAL)
def test_optional_fields_may_be_none_also_as_text(field):
    assert getattr(Recipe(**{field: None}), field) is None
    assert getattr(Recipe(**{field: "none"}), field) is None


@pytest.mark.parametrize("field", NUMBERS)
def test_whole_numbers_too_large_for_a_float_are_refused(field):
    with pytest.raises(InputError, match=rf"^{field}: expected"):
        Recipe(**{field: 10**400})


# --- text from the command line


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("epochs", "3", 3),
        ("seed", "-1", -1),
        ("lr", "2e-3", 0.002),
        ("lr", "1", 1.0),
        ("n_train", "500", 500),
        ("n_train", "none", None),
        ("test_strength", "0.5", 0.5),
        ("test_strength", "none", None),
        ("quantise", "false", False),
        ("quantise", "TRUE", True),
        ("squeeze", "0.1,0.9", (0.1, 0.9)),
        ("squeeze", "0, 1", (0.0, 1.0)),
        ("arm", "supcon-clean", "supcon-clean"),
        ("name", "none", "none"),
        ("data", "imagefolder:/a b/c", "imagefolder:/a b/c"),
    ],
)
def test_text_is_read_as_the_field_s_type(field, text, value):
    for recipe in (Recipe(**{field: text}), Recipe().replace(**{field: text})):
        assert getattr(recipe, field) == value
        assert type(getattr(recipe, field)) is type(value)


def test_whole_numbers_serve_as_numbers_and_lists_as_pairs():
    recipe = Recipe(lr=1, squeeze=[0, 1])
    assert type(recipe.lr) is float
    assert recipe.squeeze == (0.0, 1.0)
    assert [type(v) for v in recipe.squeeze] == [float, float]
    assert Recipe(squeeze=(0, 1)) == Recipe(), "so that equal recipes are equal"
