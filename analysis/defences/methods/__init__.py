"""The defences, one a file, by their published names."""

__all__: list[str] = []
