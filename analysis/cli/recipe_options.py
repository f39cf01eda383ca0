"""Every field of a recipe as an option of a command, made from the fields' declaration."""

import inspect
from collections.abc import Callable, Collection
from functools import wraps
from typing import Annotated, Any

import typer

from ...training.fields import FieldHelp, described
from ...training.recipe import Recipe

__all__ = ["recipe_options"]

Command = Callable[..., None]


def recipe_options(*, without: Collection[str] = ()) -> Callable[[Command], Command]:
    """Decorator of a command that takes ``changes``: the fields that were given, as the text that was given.

    The recipe reads the text itself, so that a mistake reads the same in a file and on the command line.

    Args:
        without: fields that the command sets itself.
    """
    fields = [field for field in described(Recipe) if field.name not in without]

    def decorate(command: Command) -> Command:
        @wraps(command)
        def with_fields(*, context: typer.Context, **given: Any) -> None:
            texts = {field.name: given.pop(field.name) for field in fields}
            # The defaults are shown, but those of the preset or file go before them: only what was typed counts.
            typed = {name for name in texts if _was_typed(context, name)}
            command(**given, changes={name: text for name, text in texts.items() if name in typed})

        signature = inspect.signature(command)
        own = [parameter for name, parameter in signature.parameters.items() if name != "changes"]
        keyword = inspect.Parameter.KEYWORD_ONLY
        added = [inspect.Parameter("context", keyword, annotation=typer.Context), *map(_parameter, fields)]
        with_fields.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
        return with_fields

    return decorate


def _parameter(field: FieldHelp) -> inspect.Parameter:
    option = typer.Option(help=field.meaning, metavar=f"<{field.type}>", rich_help_panel=f"Recipe: {field.group}")
    kind = Annotated[str | None, option]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default or None, annotation=kind)


def _was_typed(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
