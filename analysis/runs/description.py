"""A loaded encoder in five lines, as text and as HTML."""

from html import escape
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from .foreign_run import ForeignRun
    from .run import Run

__all__ = ["described", "described_html"]

Loaded = Union["Run", "ForeignRun"]


def described(run: Loaded) -> str:
    """At most five lines: name, encoder, data, trigger and target, benign twin."""
    (_, name), *rest = _facts(run)
    return "\n".join([f"{type(run).__name__} {name}", *(f"  {key:<8} {value}" for key, value in rest)])


def described_html(run: Loaded) -> str:
    """The same as a table, for a notebook."""
    lines = "".join(f"<tr><th>{key}</th><td>{escape(value)}</td></tr>" for key, value in _facts(run))
    return f"<table>{lines}</table>"


def _facts(run: Loaded) -> list[tuple[str, str]]:
    layers = run.encoder.layers
    shown = layers if len(layers) <= 6 else (*layers[:2], "…", *layers[-2:])
    spec = run.encoder.spec
    network = f"{spec.arch}, width {spec.width}" if spec else type(run.encoder.backbone).__name__
    facts = [("run", run.name), ("encoder", f"{network}; layers {', '.join(shown)}")]
    if run.data is None or run.bank is None:
        facts.append(("data", "none"))
    else:
        size = run.data.images.shape[-1]
        facts.append(
            ("data", f"{run.data.name}, {size}×{size}: {len(run.data):,} held-out images, {len(run.bank):,} training")
        )
    if run.data is None or run.trigger is None or run.target is None:
        facts.append(("trigger", "none"))
    else:
        facts.append(("trigger", f"{type(run.trigger).__name__} → class {run.data.classes[run.target]}"))
    facts.append(("twin", run.twin.name if run.twin is not None else "none"))
    return facts
