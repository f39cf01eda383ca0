"""Nothing unpickles what a file says: every call that could is named here, with the option that keeps it harmless."""

import ast
import importlib
from pathlib import Path

ROOMS = ("representations", "checkpoints", "training", "probes", "analysis", "figures")
HARMLESS = {"torch.load": ("weights_only", "True"), "np.load": ("allow_pickle", "False")}
FORBIDDEN = {"pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "pd.read_pickle", "eval", "exec"}


def test_a_torch_load_without_weights_only():
    """Defect seen elsewhere: ``torch.load`` without ``weights_only`` runs whatever a file says."""
    seen = set()
    for room in ROOMS:
        for path in Path(importlib.import_module(f"intertwine.{room}").__file__).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call):
                    name, place = ast.unparse(node.func), f"{room}: {path.name}:{node.lineno}"
                    assert name not in FORBIDDEN, place
                    options = {option.arg: ast.unparse(option.value) for option in node.keywords}
                    if name in HARMLESS:
                        option, value = HARMLESS[name]
                        assert options.get(option) == value, place
                        seen.add(name)
    assert "torch.load" in seen, "or this looks in the wrong place"
