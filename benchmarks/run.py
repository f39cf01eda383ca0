"""Run every benchmark, or those named, and write the tables to ``benchmarks/results.md``.

    python benchmarks/run.py [NAME …]

Each benchmark is a file here with a docstring (what is compared, and the gain that was expected before optimising) and
``run()``, which returns the rows of its table. Each runs in a process of its own; ratios are within one process. A
benchmark that is not named keeps the table of its last run.
"""

import importlib.util
import inspect
import os
import platform
import re
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.md"
LIBRARIES = ("torch", "numpy", "scikit-learn", "ckatorch", "pytorch-cka", "captum")


def names() -> list[str]:
    return sorted(p.stem for p in HERE.glob("*.py") if p.stem != "run")


def one(name: str) -> str:
    """The section of one benchmark, measured in this process."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    rows = module.run()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(row.get(c, "")).replace("|", "\\|") for c in columns) + " |" for row in rows]
    return "\n".join([f"## {name}", "", inspect.cleandoc(module.__doc__ or ""), "", machine(), "", *lines, ""])


def machine() -> str:
    versions = []
    for library in LIBRARIES:
        try:
            versions.append(f"{library} {version(library)}")
        except PackageNotFoundError:
            versions.append(f"{library} not installed")
    model = (
        re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        if os.path.exists("/proc/cpuinfo")
        else []
    )
    processor = model[0] if model else platform.processor()
    python = platform.python_version()
    return f"*{date.today()}, {os.cpu_count()} cores of {processor}, Python {python}, {', '.join(versions)}*"


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        print(one(sys.argv[2]))
        return
    wanted = sys.argv[1:] or names()
    if unknown := set(wanted) - set(names()):
        sys.exit(f"benchmarks: expected names among {', '.join(names())}, received {', '.join(sorted(unknown))}")
    kept = {}
    if RESULTS.exists():
        parts = re.split(r"^## (\w+)\n", RESULTS.read_text(), flags=re.MULTILINE)[1:]
        kept = {name: f"## {name}\n{text}" for name, text in zip(parts[::2], parts[1::2], strict=True)}
    for name in wanted:
        print(f"{name} …", file=sys.stderr, flush=True)
        done = subprocess.run([sys.executable, __file__, "--one", name], stdout=subprocess.PIPE, text=True, check=True)
        kept[name] = done.stdout
        head = "# Benchmarks\n\nWritten by `python benchmarks/run.py`. Ratios are within one run: speed varies.\n\n"
        RESULTS.write_text(head + "\n".join(kept[n].rstrip() + "\n" for n in names() if n in kept))
    print(RESULTS)


if __name__ == "__main__":
    main()
