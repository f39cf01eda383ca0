"""Pages from the templates beside this module, where their prose is."""

from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined

from ..claims.verdicts import ENOUGH_SEEDS
from ..results.schema import BACKDOORED, LEAST_HITS
from . import formatting

__all__ = ["render"]


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"markdown": formatting.markdown, "prose": formatting.prose, "plain": formatting.plain}
    environment.globals |= {"ENOUGH_SEEDS": ENOUGH_SEEDS, "BACKDOORED": BACKDOORED, "LEAST_HITS": LEAST_HITS}
    # In scripts: keys in the given order, and nothing that JSON does not have.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False, "separators": (",", ":")}
    return environment


def render(template: str, **values: object) -> bytes:
    """The page as UTF-8. A value that the template needs and that is not given is an error."""
    return _environment().get_template(template).render(values).encode()
