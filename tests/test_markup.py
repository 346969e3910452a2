"""Names of any letters in LaTeX, Markdown, JSON and on the terminal."""

import ast
import doctest
import json
import math
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len

from uvim_fsq import markup, tables
from uvim_fsq.markup import finite, json_text, latex, markdown, markdown_code
from uvim_fsq.settings import ConfigError, RunConfig, replace
from uvim_fsq.settings.as_json import dumps

ROOT = Path(__file__).resolve().parent.parent
ODD = [
    *("cost $5 to $9", "fsq_2^4", "#030100", "{brace", "tilde~x", r"back\slash\n"),
    *("_under_", "R&D &lt;", "50 %", "<b>bold</b>", "$$", "[x](y)", "*star*", "a|b"),
    *('"quoted"', "it's", "`tick`", "~~no~~", "bottle [glass]", ":smile:", "Küche"),
]


def test_latex_exactly():
    assert latex("".join("\\ ^ ~ < > | % _ & # $ { } [ *".split())) == (
        r"\textbackslash{}\textasciicircum{}\textasciitilde{}\textless{}\textgreater{}"
        r"\textbar{}\%\_\&\#\$\{\}{[}{*}"
    )
    assert latex("0.5 ± 0.1 †") == r"0.5 $\pm$ 0.1 $^\dagger$"
    assert latex("two\n% lines") == r"two \% lines"


@pytest.mark.parametrize("name", ODD)
def test_markdown_as_it_is_rendered(name):
    """By an implementation of CommonMark, with GitHub's tables and strike-through."""
    renderer = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tokens = renderer.parse(f"| a | b |\n| --- | --- |\n| {markdown(name)} | x |\n")
    cells = [token for token in tokens if token.type == "inline"]
    assert len(cells) == 4
    assert {t.type for t in cells[2].children} <= {"text", "text_special"}
    assert "".join(t.content for t in cells[2].children) == name
    (code,) = renderer.parse(markdown_code(name))[1].children
    assert (code.type, code.content) == ("code_inline", name)


def test_names_with_underscores_stay_readable_in_markdown():
    assert markdown("vq_no_split_2^16") == "vq_no_split_2^16"


def test_a_misspelt_name_in_a_template_is_no_missing_value():
    assert markup.filled("{a}\n{b}", a=1, b=None) == "1\n"
    with pytest.raises(KeyError, match="bb"):
        markup.filled("{a}\n{bb}", a=1, b=None)


@pytest.mark.parametrize("module", [markup, tables])
def test_docstring_examples(module):
    result = doctest.testmod(module)
    assert result.attempted >= 3 and result.failed == 0


@pytest.mark.parametrize("name", [*ODD, "日本語"])
def test_columns_stand_below_one_another_whatever_the_letters(name):
    lines = tables.aligned([["name", "n"], [name, "1"], ["x", "10"]], rule=True)
    widths = {cell_len(line) for line in lines.splitlines()}
    assert len(widths) == 1 and name in lines


def test_numbers_that_json_does_not_have_are_null_with_a_reason():
    row = {"id": "a", "psnr": math.inf, "pq": np.float32("nan"), "n": 3, "ok": True}
    found = finite(row)
    assert found == {
        **{"id": "a", "psnr": None, "pq": None, "n": 3, "ok": True},
        "not_finite": {"psnr": "inf", "pq": "nan"},
    }
    assert json.loads(json_text(found)) == found
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_text(row | {"pq": 0.0})
    with pytest.raises(ConfigError, match="infinite or no number"):
        dumps(replace(RunConfig(), task__max_depth=math.inf))


def test_every_writer_of_json_is_strict():
    lax = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("uvim_fsq", "benchmarks", "scripts")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("json.dumps", "json.dump")
        and "allow_nan" not in {keyword.arg for keyword in node.keywords}
    ]
    assert lax == []
