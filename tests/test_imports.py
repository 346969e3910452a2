"""Imports go one way, and what is slow is imported late."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("uvim_fsq", "evaluators", "configs", "scripts")

SETTINGS = (
    "uvim_fsq.errors",
    "uvim_fsq.config",
    "uvim_fsq.config_json",
    "uvim_fsq.config_check",
    "uvim_fsq.config_require",
)
PLAIN = ("uvim_fsq.markup", "uvim_fsq.terminal")
MODELS = (
    "uvim_fsq.types",
    "uvim_fsq.nn",
    "uvim_fsq.quantizers",
    "uvim_fsq.data.transforms",
)
TOP = (
    *("uvim_fsq", "uvim_fsq.build", "uvim_fsq.weights", "evaluators", "configs"),
    *("uvim_fsq.user_files", "uvim_fsq.files", *SETTINGS),
)
# What a module, or a package with all in it, may import besides itself. The longest name counts.
MAY_IMPORT = {
    "uvim_fsq": ("uvim_fsq.predictor",),
    "uvim_fsq.__main__": ("uvim_fsq.cli",),
    "uvim_fsq.types": (),
    "uvim_fsq.errors": (),
    "uvim_fsq.files": (),
    "uvim_fsq.markup": (),
    "uvim_fsq.terminal": (),
    "uvim_fsq.config_data": (),
    "uvim_fsq.config": ("uvim_fsq.errors", "uvim_fsq.config_data"),
    "uvim_fsq.user_files": ("uvim_fsq.errors",),
    "uvim_fsq.config_json": (
        *("uvim_fsq.config", "uvim_fsq.errors", "uvim_fsq.files"),
    ),
    "uvim_fsq.config_require": ("uvim_fsq.errors",),
    "uvim_fsq.config_check_data": ("uvim_fsq.config_data", "uvim_fsq.config_require"),
    "uvim_fsq.config_check": (
        *("uvim_fsq.errors", "uvim_fsq.config", "uvim_fsq.config_json"),
        *("uvim_fsq.config_check_data", "uvim_fsq.config_require"),
    ),
    "uvim_fsq.nn": ("uvim_fsq.types",),
    "uvim_fsq.quantizers": ("uvim_fsq.types",),
    "uvim_fsq.data.transforms": ("uvim_fsq.types",),
    "uvim_fsq.data": ("uvim_fsq.types", "uvim_fsq", "uvim_fsq.files"),
    "uvim_fsq.stage1": MODELS,
    "uvim_fsq.stage2": MODELS,
    "uvim_fsq.tasks": MODELS,
    "uvim_fsq.training": ("uvim_fsq.types", "uvim_fsq.files"),
    "uvim_fsq.weights": ("uvim_fsq.types", "uvim_fsq.nn", "uvim_fsq.files"),
    "uvim_fsq.build": (
        *("uvim_fsq", "uvim_fsq.data", "uvim_fsq.stage1", "uvim_fsq.stage2"),
        *("uvim_fsq.tasks", "uvim_fsq.training", "uvim_fsq.weights", "evaluators"),
        *(*MODELS, *SETTINGS, *PLAIN, "uvim_fsq.files"),
    ),
    "uvim_fsq.predictor": (
        *TOP,
        *("uvim_fsq.data.errors", "uvim_fsq.data.images", "uvim_fsq.data.orientation"),
        "uvim_fsq.stage2.sampling",
        *("uvim_fsq.training.compilation_cache", "uvim_fsq.prediction_files"),
        "uvim_fsq.prediction_input",
    ),
    "uvim_fsq.prediction_input": (
        *("uvim_fsq.types", "uvim_fsq.data.errors", "uvim_fsq.data.images"),
        "uvim_fsq.data.listing",
    ),
    "uvim_fsq.prediction_files": ("uvim_fsq.data", "uvim_fsq.tasks", "uvim_fsq.files"),
    "uvim_fsq.experiment": (
        *(*TOP, *PLAIN),
        *("uvim_fsq.training.signals", "uvim_fsq.training.writers"),
        "uvim_fsq.training.progress",
    ),
    "uvim_fsq.cli": (*TOP, *PLAIN, "uvim_fsq.experiment", "uvim_fsq.predictor"),
    "evaluators": ("uvim_fsq.types", "evaluators.errors"),
    "evaluators.runner": ("uvim_fsq.types", "evaluators"),
    "evaluators.panoptic_files": (
        *("uvim_fsq.types", "evaluators.panoptic"),
        *("uvim_fsq.data.coco_format", "uvim_fsq.data.coco_png"),
        "uvim_fsq.data.errors",
    ),
    "evaluators.coltran": ("uvim_fsq.types", "uvim_fsq.data.transforms"),
    "evaluators.fid_files": (
        *("uvim_fsq.types", "evaluators.coltran", "evaluators.fid"),
        *("uvim_fsq.data.errors", "uvim_fsq.data.images", "uvim_fsq.data.scan"),
        "uvim_fsq.data.listing",
    ),
    "evaluators.fid_evaluator": (
        *("uvim_fsq.types", "evaluators.coltran", "evaluators.fid"),
        "evaluators.fid_files",
    ),
    "configs": (
        "uvim_fsq.config",
        "uvim_fsq.errors",
        "configs.base",
        "configs.variants",
        "configs.studies.*",
    ),
    "scripts": ("uvim_fsq.*", "evaluators", "configs"),
}


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


def _covers(rule: str, name: str) -> bool:
    """A rule is a module, or a package and all in it; plain `uvim_fsq` is only its top."""
    if rule == "uvim_fsq":
        return name == rule
    rule = rule.removesuffix(".*")
    return name == rule or name.startswith(f"{rule}.")


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
        for name in sorted(_imported(ast.parse(path.read_text()), set(files))):
            if not any(_covers(one, name) for one in allowed):
                found.append(f"{module} imports {name}")
    return found


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


def test_imports_go_one_way():
    assert violations(ROOT) == []


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
    write("uvim_fsq/nn/attention.py", "from uvim_fsq import types\nimport jax\n")
    write("uvim_fsq/stage1/model.py", "from uvim_fsq.nn.attention import attend\n")
    assert violations(tmp_path) == []
    write("uvim_fsq/stage2/model.py", "from uvim_fsq.stage1.model import Model\n")
    write("evaluators/depth.py", "def f():\n    from evaluators import fid\n")
    write("evaluators/fid.py", "import tensorflow as tf\n")
    write("uvim_fsq/nn/patches.py", "from uvim_fsq import __version__\n")
    write("uvim_fsq/odd.py", "def f():\n    import tensorflow\n")
    assert sorted(violations(tmp_path)) == [
        "evaluators.depth imports evaluators.fid",
        "uvim_fsq.nn.patches imports uvim_fsq",
        "uvim_fsq.odd has no line in the table",
        "uvim_fsq.stage2.model imports uvim_fsq.stage1.model",
    ]
    assert early_imports(tmp_path, "tensorflow") == ["evaluators.fid"]


@pytest.mark.parametrize(
    "module", ["uvim_fsq", "uvim_fsq.cli", "uvim_fsq.config_check", "configs.depth"]
)
def test_plain_imports_are_light(module):
    slow = "{'jax', 'jaxlib', 'flax', 'tensorflow', 'orbax', 'matplotlib'}"
    code = f"import sys, {module}; print(sorted({slow} & set(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
