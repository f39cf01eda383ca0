"""The command line: one command a file, assembled in :mod:`.app`. Its modules import no torch, pandas or matplotlib:
``--help`` takes less than a second. What a command needs beside its options is imported inside it."""

__all__: list[str] = []
