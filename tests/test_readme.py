"""The README's example runs as printed."""

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def test_quantizer_example(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (example,) = (block for block in blocks if "class Autoencoder" in block)
    exec(compile(example, str(README), "exec"), {"__name__": "readme"})
    assert capsys.readouterr().out.splitlines() == [
        "FSQ 240 (4, 10, 32) (4, 10)",
        "VQ 256 (4, 10, 32) (4, 10)",
    ]


def test_files_that_it_names_exist():
    text = README.read_text()
    for name in re.findall(r"\]\((docs/[^)]+)\)", text):
        assert (README.parent / name).exists(), name
    for folder in re.findall(
        r"\b((?:uvim_fsq/\w+|evaluators|configs|scripts|tests)/)", text
    ):
        assert (README.parent / folder).is_dir(), folder
