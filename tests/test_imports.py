"""Imports go one way, and what is slow is imported late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("uvim_fsq", "benchmarks", "scripts")

PLAIN = ("types", "errors", "fields", "files", "markup", "tables")
SCIENCE = (*PLAIN, "nn", "quantizers", "data", "training", "weights")
MODELS = (*SCIENCE, "evaluators", "tasks", "models", "settings")
RUNS = (*MODELS, "runs", "uvim_fsq")
# What a module, or a package with all in it, may import besides itself. The longest name counts;
# `settings.py` and `registry.py` of a room have a rule of their own, SETTINGS.
# Names without a dot are rooms of `uvim_fsq`, or `benchmarks` or `scripts`.
MAY_IMPORT = {
    "uvim_fsq": ("predictor",),
    "__main__": ("cli",),
    "config": ("settings",),
    "types": (),
    "errors": (),
    "files": (),
    "markup": (),
    "tables": ("markup",),
    "fields": ("errors",),
    "user_files": ("errors",),
    "nn": ("types", "fields"),
    "quantizers": ("types",),
    "data": ("types", "errors", "fields", "files", "uvim_fsq"),
    "training": ("types", "files"),
    "weights": (*PLAIN, "nn"),
    "weights.big_vision.sizes": (*PLAIN, "nn", "weights"),
    "tasks": (*PLAIN, "nn.cross_entropy", "data", "evaluators"),
    "models": (*SCIENCE, "tasks", "evaluators"),
    "models.uvim.stage1": ("types", "fields", "nn", "quantizers", "data.transforms"),
    "models.uvim.stage2": ("types", "fields", "nn", "quantizers", "data.transforms"),
    "settings": ("errors", "fields", "files", "*.settings", "*.registry"),
    "settings.find": (
        *("errors", "fields", "settings", "user_files", "configs", "weights.hub"),
    ),
    "runs": (*MODELS, "uvim_fsq", "evaluation.scores"),
    "evaluation": RUNS,
    "codes": RUNS,
    "cost": RUNS,
    "share": (*RUNS, "evaluation"),
    "prediction_input": ("types", "errors", "data"),
    "predictor": (*RUNS, "share", "prediction_input"),
    "experiment": (*RUNS, "user_files", "evaluation", "cost", "configs"),
    "cli": (
        *(*RUNS, "evaluation", "codes", "cost", "share"),
        *("experiment", "predictor", "configs"),
    ),
    "evaluators": ("types", "errors"),
    "evaluators.runner": ("types", "evaluators"),
    "configs": ("settings", "errors", "configs.base", "configs.variants"),
    "configs.studies": ("settings", "errors", "configs"),
    "scripts": ("uvim_fsq.*",),
    "benchmarks": ("uvim_fsq.*",),
}
SETTINGS = ("settings", "registry")
"""Last parts of the names of modules that declare settings: read without JAX, NumPy or files."""
SETTINGS_MAY_IMPORT = ("errors", "fields", "markup", "*.settings")
# Folders in these rooms stand beside one another: none knows another.
SIBLINGS = ("tasks", "models", "data")
MOST_FILES = 20
"""In one folder, tests aside."""


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _files(root: Path) -> dict[str, Path]:
    return {_module(p, root): p for name in OURS for p in (root / name).rglob("*.py")}


def _imported(tree: ast.AST, modules: set[str]) -> set[str]:
    """Our modules that a file imports; `from package import module` is the module."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.add(whole if whole in modules else str(node.module))
    return {name for name in names if name.split(".")[0] in OURS}


def _room(module: str) -> str:
    """A module's name as the table has it; the package itself is `uvim_fsq`."""
    return module.removeprefix("uvim_fsq.")


def _covers(rule: str, module: str) -> bool:
    """A rule is a module, or a package and all in it; `uvim_fsq.*` is all that is ours."""
    if rule == "uvim_fsq.*":
        return module.startswith("uvim_fsq")
    name = _room(module)
    if rule.startswith("*."):
        return name.endswith(rule[1:])
    return name == rule or name.startswith(f"{rule}.")


def _is_settings(module: str) -> bool:
    parts = _room(module).split(".")
    return len(parts) > 1 and parts[-1] in SETTINGS


def violations(root: Path) -> list[str]:
    """Imports in the tree that the table does not allow."""
    files = _files(root)
    found = []
    for module, path in files.items():
        rules = [name for name in MAY_IMPORT if _covers(name, module)]
        if not rules:
            found.append(f"{module} has no line in the table")
            continue
        rule = max(rules, key=len)
        # Metrics and configurations stand for themselves; other packages are one thing.
        alone = rule in ("evaluators", "configs", "uvim_fsq")
        allowed = (*MAY_IMPORT[rule], *(() if alone else (rule,)))
        if _is_settings(module):
            allowed = (*allowed, *SETTINGS_MAY_IMPORT)
        for name in sorted(_imported(ast.parse(path.read_text()), set(files))):
            if not any(_covers(one, name) for one in allowed):
                found.append(f"{module} imports {name}")
    return found


def _folder(module: str, files: dict[str, Path]) -> str | None:
    """Which of the folders that stand beside one another a module lies in, such as `tasks.depth`."""
    parts = _room(module).split(".")
    package = f"uvim_fsq.{'.'.join(parts[:2])}"
    if parts[0] not in SIBLINGS or len(parts) < 2:
        return None
    is_folder = files.get(package, Path()).name == "__init__.py"
    return ".".join(parts[:2]) if is_folder else None


def sibling_imports(root: Path) -> list[str]:
    """Folders that know one beside them."""
    files = _files(root)
    found = []
    for module, path in files.items():
        here = _folder(module, files)
        for name in sorted(_imported(ast.parse(path.read_text()), set(files))):
            there = _folder(name, files)
            if not here or not there or here == there:
                continue
            same = here.split(".")[0] == there.split(".")[0]
            if same:
                found.append(f"{module} imports {name}")
    return found


def crowded(root: Path) -> list[str]:
    """Folders with more files than one finds one's way in."""
    counts: dict[Path, int] = {}
    for path in _files(root).values():
        counts[path.parent] = counts.get(path.parent, 0) + 1
    return [str(folder) for folder, number in counts.items() if number > MOST_FILES]


def early_imports(root: Path, package: str) -> list[str]:
    """Modules that import a package while they are imported themselves."""
    found = []
    for module, path in _files(root).items():
        nodes = list(ast.parse(path.read_text()).body)
        while nodes:
            node = nodes.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            nodes.extend(ast.iter_child_nodes(node))
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            if any(name.split(".")[0] == package for name in names):
                found.append(module)
    return found


HEAVY = "jax jaxlib flax optax orbax tensorflow matplotlib".split()
BLOCKED = """
import importlib, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in sys.argv[1].split(","):
            raise ImportError(name + " is not for this module")
sys.meta_path.insert(0, Blocked())
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


@pytest.mark.parametrize(
    ("chosen", "more", "heavy_one"),
    [
        (_is_settings, ["numpy", "cv2", "PIL"], "uvim_fsq.tasks.depth.task"),
        (lambda name: name.startswith("uvim_fsq.evaluators"), [], "uvim_fsq.nn.resize"),
    ],
    ids=["settings", "evaluators"],
)
def test_what_is_imported_without_jax(chosen, more, heavy_one):
    names = [name for name in _files(ROOT) if chosen(name)]
    assert len(names) > 8
    program = [sys.executable, "-c", BLOCKED, ",".join([*HEAVY, *more])]
    for others, code in (([], 0), ([heavy_one], 1)):
        words = [*program, *names, *others]
        done = subprocess.run(words, capture_output=True, text=True)
        assert done.returncode == code, done.stderr


def test_imports_go_one_way():
    assert violations(ROOT) == []


def test_folders_beside_one_another_do_not_know_one_another():
    assert sibling_imports(ROOT) == []


def test_no_folder_is_crowded():
    assert crowded(ROOT) == []


@pytest.mark.parametrize("package", ["tensorflow", "tensorflow_datasets"])
def test_tensorflow_is_imported_inside_functions(package):
    assert early_imports(ROOT, package) == []


def test_what_the_rules_forbid_is_found(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("uvim_fsq/__init__.py", "")
    write("uvim_fsq/types.py", "")
    write("uvim_fsq/nn/cross_entropy.py", "from uvim_fsq import types\n")
    write("uvim_fsq/tasks/a/__init__.py", "")
    write("uvim_fsq/tasks/b/__init__.py", "")
    write("uvim_fsq/tasks/a/task.py", "from uvim_fsq.nn.cross_entropy import f\n")
    assert violations(tmp_path) == sibling_imports(tmp_path) == []
    write("uvim_fsq/tasks/b/task.py", "from uvim_fsq.tasks.a.task import Task\n")
    write("uvim_fsq/training/loop.py", "from uvim_fsq.tasks.a.task import Task\n")
    write("uvim_fsq/evaluators/depth.py", "from uvim_fsq.evaluators import fid\n")
    write("uvim_fsq/evaluators/fid.py", "import tensorflow as tf\n")
    write("uvim_fsq/nn/patches.py", "from uvim_fsq import __version__\n")
    write("uvim_fsq/odd.py", "def f():\n    import tensorflow\n")
    assert sorted(violations(tmp_path)) == [
        "uvim_fsq.evaluators.depth imports uvim_fsq.evaluators.fid",
        "uvim_fsq.nn.patches imports uvim_fsq",
        "uvim_fsq.odd has no line in the table",
        "uvim_fsq.training.loop imports uvim_fsq.tasks.a.task",
    ]
    assert sibling_imports(tmp_path) == [
        "uvim_fsq.tasks.b.task imports uvim_fsq.tasks.a.task"
    ]
    for number in range(MOST_FILES):
        write(f"uvim_fsq/tasks/a/part{number}.py", "")
    assert crowded(tmp_path) == [str(tmp_path / "uvim_fsq" / "tasks" / "a")]
    assert early_imports(tmp_path, "tensorflow") == ["uvim_fsq.evaluators.fid"]


@pytest.mark.parametrize(
    "module",
    ["uvim_fsq", "uvim_fsq.cli", "uvim_fsq.settings.check", "uvim_fsq.configs.depth"],
)
def test_plain_imports_are_light(module):
    slow = "{'jax', 'jaxlib', 'flax', 'tensorflow', 'orbax', 'matplotlib'}"
    code = f"import sys, {module}; print(sorted({slow} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
