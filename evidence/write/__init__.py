"""The pages: numbers and tables come from :mod:`evidence.collect`, prose from ``templates/``."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from intertwine.analysis.reports.captions import CAPTIONS
from intertwine.analysis.reports.formatting import markdown
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from .. import ROOT
from ..collect import crossed, ctrl, measures, primaries, published, studies, training, tried, zoo
from ..collect.form import machines, number, read

__all__ = ["GALLERY_CODE", "PAGES", "render", "write_pages"]

TEMPLATES = Path(__file__).parents[1] / "templates"
GALLERY_CODE: dict[str, str] = tomllib.loads((TEMPLATES / "gallery.toml").read_text())
"""Figure → the lines of Python that draw it."""

PAGES = {
    "docs/evidence.md": "evidence.md.j2",
    "docs/evidence-published.md": "published.md.j2",
    "docs/evidence-tried.md": "tried.md.j2",
    "docs/evidence-ctrl.md": "ctrl.md.j2",
    "docs/evidence-primaries.md": "primaries.md.j2",
    "docs/zoo.md": "zoo.md.j2",
    "docs/measures.md": "measures.md.j2",
    "docs/training/objectives.md": "objectives.md.j2",
    "docs/training/attacks.md": "attacks.md.j2",
    "evidence/studies/README.md": "studies.md.j2",
    "figures/gallery.md": "gallery.md.j2",
}
"""Page → template."""


def render(page: str) -> str:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"table": markdown, "number": number, "machines": machines}
    modules: dict[str, object] = {"ctrl": ctrl, "measures": measures, "published": published, "studies": studies}
    modules |= {"training": training, "tried": tried, "zoo": zoo, "read": read}
    modules |= {"captions": CAPTIONS, "code": GALLERY_CODE, "primaries": primaries, "crossed": crossed}
    return environment.get_template(PAGES[page]).render(modules)


def write_pages() -> Iterator[Path]:
    for page in PAGES:
        (ROOT / page).write_text(render(page))
        yield ROOT / page
