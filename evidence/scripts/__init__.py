"""Scripts that train or measure. Each writes a table to ``evidence/tables``: ``python -m evidence.scripts.NAME``."""
