"""Names of models on this disk: paths, and training runs in `runs/`.

A name is a path if it looks like one, or if its first folder exists: `runs/nope` is then a missing file, and
no network is asked. `hf:owner/repo` names a repository in any case.
"""

from __future__ import annotations

import re
from pathlib import Path

from zeropoint.errors import BadInput, choices

__all__ = [
    "FILE_ENDINGS",
    "RUNS",
    "RUN_FILE",
    "existing_model",
    "expand",
    "find_run",
    "is_path",
    "known_runs",
    "no_run",
    "run_path",
    "title",
]

RUNS = Path("runs")  # where `zeropoint train` puts a run, relative to the current folder
RUN_FILE = "run.json"  # marks the folder of a training run

_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_WHICH = re.compile(r"|best|latest|[0-9]{1,12}")
FILE_ENDINGS = (".gguf", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".json", ".toml")


def is_path(name: str) -> bool:
    """Whether a name is a path by its form or because its first folder exists."""
    if name.startswith(("/", "./", "../", "~")) or name in (".", "..") or "\\" in name:
        return True
    first, slash, _ = name.partition("/")
    if name.lower().endswith(FILE_ENDINGS):
        return True
    has_hub_suffix = ":" in name or "@" in name or "#" in name  # as in owner/repo:q8_0
    return bool(slash) and not has_hub_suffix and (first == str(RUNS) or _is_folder(Path(first)))


def existing_model(name: str) -> Path | None:
    """The file of that name, or the folder if it has a GGUF file, config.json or run.json; else None."""
    path = Path(name)
    try:
        if path.is_file():
            return path
        marks = (path / "config.json", path / RUN_FILE)
        is_model = path.is_dir() and (any(map(Path.is_file, marks)) or any(path.glob("*.gguf")))
        return path if is_model else None
    except (OSError, ValueError):  # too long for a path, for example
        return None


def expand(name: str) -> Path:
    """The path with `~` expanded. Raises BadInput."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        raise BadInput(f"model `{name}`: this user has no home folder; write the path in full") from None


def known_runs() -> list[str]:
    """The names of the training runs in `runs/`, sorted."""
    try:
        names = [path.parent.name for path in RUNS.glob(f"*/{RUN_FILE}")]
        return sorted(name for name in names if _RUN.fullmatch(name))
    except OSError:
        return []


def no_run(name: str, preset: str = "") -> str:
    """The message for a run that is neither at the path `name` nor in `runs/`. preset: one that trains it."""
    if known := known_runs():
        return choices("run", name, known)
    train = f"zeropoint train {preset}".strip()
    return f"there is no run at {name} or {RUNS / name}; train one with `{train}`"


def find_run(name: str) -> Path | None:
    """The path of NAME[@WHICH] or NAME/WHICH if NAME is a run in `runs/`. Raises BadInput as `run_path`."""
    run, _, which = name.replace("/", "@", 1).partition("@")
    if run not in known_runs():
        return None
    return run_path(f"{run}@{which}" if which else run, name)


def run_path(run: str, name: str) -> Path:
    """The path of NAME[@WHICH]: runs/NAME, its `best` or `latest`, or the checkpoint of a step.

    name: what the user typed, for messages. Raises BadInput for a run or checkpoint that does not exist.
    """
    run, _, which = run.partition("@")
    if not _RUN.fullmatch(run) or not _WHICH.fullmatch(which):
        raise BadInput(f"model `{name}` is malformed; write run:NAME, run:NAME@best or run:NAME@STEP")
    folder = RUNS / run
    if not folder.is_dir():
        known = known_runs()
        raise BadInput(choices("run", run, known) if known else f"there is no run {folder}; check the name")
    path = folder / (f"checkpoints/step-{int(which):06d}" if which.isdecimal() else which)
    if not path.exists():
        steps = sorted(path.name.removeprefix("step-") for path in folder.glob("checkpoints/step-*[0-9]"))
        listed = ", ".join(step.lstrip("0") or "0" for step in steps)
        raise BadInput(f"model `{name}`: no such checkpoint; the run has those of steps {listed or '(none)'}")
    return path


def title(path: Path) -> str:
    """The display name of a path: that of a file without .gguf, or of a folder."""
    name = path.name or path.absolute().name
    return name[:-5] if name.lower().endswith(".gguf") else name


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
