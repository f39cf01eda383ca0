"""Load any encoder by its name: a run, an encoder of the zoo, a converted folder or a foreign checkpoint."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...checkpoints.converted import is_converted, load_any
from ...checkpoints.shipped import PREFIX, ZOO, index, resolve
from ...checkpoints.store import is_finished, load_checkpoint
from ...representations.encoders import Encoder
from ...representations.errors import InputError
from ...training.arms import ARMS
from ...training.data import load_images
from ...training.fit import pick_device
from ...training.triggers import read_trigger
from .evaluation_images import class_index, evaluation_images
from .foreign_run import ForeignRun
from .run import Run, about_run, load_run, with_twin
from .twins import benign_twin_of

__all__ = ["as_foreign", "find_twin", "load"]


def load(
    name: Path | str,
    *,
    twin: Path | str | None = None,
    data: str | None = None,
    evaluation_data: str | None = None,
    trigger: str | None = None,
    target: str | int | None = None,
    data_root: Path | None = None,
    skip_unreadable: bool = False,
    device: str = "auto",
    log: Callable[[str], None] = lambda line: None,
    **foreign: Any,
) -> Run | ForeignRun:
    """Load an encoder with its images, trigger, target and benign twin.

    Args:
        name: a run folder, ``zoo:NAME``, a folder of ``intertwine convert``, or a foreign checkpoint.
        twin: name of the benign twin. The twin of a run is found beside it, and that of the zoo in its index.
        data: images of a foreign checkpoint (see :func:`intertwine.training.load_images`); for a run, the place of its
            own data now. Without it, an encoder of the zoo uses the images that it ships with.
        evaluation_data: other images than those of training.
        trigger: as in :func:`.evaluation_images.evaluation_images`. target: name or number of the class. A run has its
            own. A foreign checkpoint without a trigger can be compared, and not measured.
        foreign: arguments of :func:`intertwine.checkpoints.load_foreign`, for example ``arch="resnet50"``.

    Raises:
        InputError: no such encoder; data, trigger or target do not fit it.
    """
    path = resolve(name)
    if not path.exists():
        raise InputError(
            f"name: expected a run folder, zoo:NAME, a converted folder or a checkpoint, received {str(name)!r}, "
            f"which is not there"
        )
    about: dict[str, Any] = {"data_root": data_root, "skip_unreadable": skip_unreadable}
    aim = None if target is None else str(target)
    if is_finished(path) or (path.is_dir() and not is_converted(path)):  # load_run reports a folder that is no run
        if given := [key for key, value in foreign.items() if value is not None]:
            raise InputError(f"{', '.join(given)}: expected for a foreign checkpoint, received for a run")
        run = load_run(path, data=data, device=device, **about)
        beside = find_twin(path) if twin is None else resolve(twin)
        own = evaluation_data is None and trigger is None and target is None
        if own and (beside is None or is_finished(beside)):
            return run if beside is None else with_twin(run, beside)
        found = as_foreign(run, evaluation_data, trigger, aim, about)
        return found if beside is None else _with_foreign_twin(found, *_encoder(beside, {}, log), beside)
    if data and evaluation_data:
        raise InputError("evaluation_data: expected it or data for a foreign checkpoint, received both")
    encoder, size = _encoder(path, foreign, log)
    encoder.to(pick_device(device))
    found = _foreign(path.stem, encoder, size, data or evaluation_data, trigger, aim, about)
    return found if twin is None else _with_foreign_twin(found, *_encoder(resolve(twin), foreign, log), resolve(twin))


def find_twin(folder: Path) -> Path | None:
    """The benign twin of a run: that of the zoo's index, or the one beside it, as studies and ``demo`` place it."""
    if folder.parent == ZOO:
        benign = index().get(folder.name, {}).get("benign")
        return resolve(PREFIX + benign) if benign else None
    mine = about_run(folder)
    if not ARMS[mine["arm"]].is_poisoned:
        return None
    benign = ARMS[mine["arm"]].benign
    places = [folder.parent.parent / benign / folder.name, *sorted(folder.parent.glob("*"))]
    about = {folder: mine} | {
        place: about_run(place) for place in places if place.resolve() != folder.resolve() and is_finished(place)
    }
    return benign_twin_of(folder, about)


def as_foreign(
    run: Run,
    source: str | None = None,
    trigger: str | None = None,
    target: str | None = None,
    about: Mapping[str, Any] | None = None,
) -> ForeignRun:
    """A run with its own images, trigger and target, except those that are given."""
    size = run.data.images.shape[-1]
    train, test = run.bank, run.data
    if source is not None:
        if target is None:
            raise InputError("target: expected a class of the evaluation data, received none")
        squeeze = run.experiment.recipe.squeeze
        train, test = load_images(source, image_size=size, squeeze=squeeze, **about or {})
    aim = run.target if target is None else class_index(target, train.classes)
    if trigger is not None and trigger.startswith("pairs:"):
        raise InputError("trigger: expected pairs for a foreign checkpoint only, received pairs for a run")
    applied = run.trigger if trigger is None else read_trigger(trigger, size)
    return ForeignRun(run.checkpoint.path.stem, run.encoder, size, test, train, applied, aim, run.twin)


def _foreign(
    name: str,
    encoder: Encoder,
    size: int,
    data: str | None,
    trigger: str | None,
    target: str | None,
    about: dict[str, Any],
) -> ForeignRun:
    for key, value, other in (("trigger", trigger, target), ("target", target, trigger)):
        if value is None and other is not None:
            raise InputError(f"{key}: expected one beside {'target' if key == 'trigger' else 'trigger'}, received none")
    if data is None:
        if trigger is not None:
            raise InputError(f"data: expected images to put the trigger on, received none for {name}")
        return ForeignRun(name, encoder, size)
    if trigger is None or target is None:
        train, test = load_images(data, image_size=size, **about)
        return ForeignRun(name, encoder, size, test, train)
    on = evaluation_images(data, trigger, target, image_size=size, **about)
    return ForeignRun(name, encoder, size, on.test, on.train, on.trigger, on.target)


def _with_foreign_twin(run: ForeignRun, encoder: Encoder, size: int, place: Path) -> ForeignRun:
    encoder.to(run.encoder.mean.device)
    return replace(run, twin=ForeignRun(place.stem, encoder, size, run.data, run.bank, run.trigger, run.target))


def _encoder(path: Path, foreign: dict[str, Any], log: Callable[[str], None]) -> tuple[Encoder, int]:
    """The encoder of a run or of a foreign checkpoint, and the side of its images in pixels."""
    if not path.exists():
        raise InputError(f"checkpoint: expected a run folder or a file, received {str(path)!r}, which is not there")
    if is_finished(path):
        encoder = load_checkpoint(path).encoder.eval()
        assert encoder.spec is not None
        return encoder, encoder.spec.image_size
    loaded = load_any(path, **foreign)
    for line in loaded.lines():
        log(f"{path.name}: {line}")
    return loaded.encoder, loaded.image_size
