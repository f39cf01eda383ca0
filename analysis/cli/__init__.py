"""The command line, one command a file: :func:`intertwine.analysis.cli.app.main`."""

__all__: list[str] = []
