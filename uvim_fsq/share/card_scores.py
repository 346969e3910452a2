"""The part of a model card that tells scores."""

from collections.abc import Mapping
from typing import Any

from uvim_fsq.evaluation.table import BASELINES, TITLES, summary
from uvim_fsq.markup import markdown_code
from uvim_fsq.settings.run import RunConfig
from uvim_fsq.tasks.scoring import Scoring


def headline(config: RunConfig, details: Mapping[str, Any]) -> str:
    """One line with the scores that matter most; empty if they are not known."""
    scores = (details.get("scores") or {}).get("scores") or {}
    scoring = config.task.scoring()
    wanted = {f"{name}/{scoring.headline}" for name in ("greedy", "stage1")}
    without = {f"{name}/{scoring.headline}" for name in BASELINES}
    if not wanted <= set(scores) or not without & set(scores):
        return ""
    return f"**{summary(scores, scoring)}**"


def scores_section(config: RunConfig, details: Mapping[str, Any]) -> str:
    """A table by prediction, and in words what was scored and how codes were sampled.

    `details["scores"]` is the content of a `scores.json`, all of it optional but `scores`.
    """
    report = details.get("scores") or {}
    scores = report.get("scores") or {}
    scoring = config.task.scoring()
    titles = _titles(scores, scoring)
    if not titles:
        return "## Scores\n\nNot scored yet."
    columns = [
        column
        for column in (*scoring.columns, *_distances(scores))
        if any(f"{name}/{column}" in scores for name in titles)
    ]
    units = {scoring.headline: f", {scoring.unit}"}
    rows = [["prediction", *(f"{c}{units.get(c, '')}" for c in columns)]]
    rows.append(["---", *["---:"] * len(columns)])
    for name, title in titles.items():
        values = [scores.get(f"{name}/{column}") for column in columns]
        rows.append([title, *map(_number, values)])
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = [_what(report), table, _how(report)]
    text += [_verdict(scores, scoring), _cost(scores)]
    return "## Scores\n\n" + "\n\n".join(part for part in text if part)


def _titles(scores: Mapping[str, float], scoring: Scoring) -> dict[str, str]:
    """Names of the predictions scored, and what they are called in the table."""
    titles = dict(TITLES)
    for name in sorted({key.split("/")[0] for key in scores}):
        if name.startswith("mean_of_"):
            titles[name] = f"whole: mean of {name.removeprefix('mean_of_')} samples"
    return {n: t for n, t in titles.items() if f"{n}/{scoring.headline}" in scores}


def _distances(scores: Mapping[str, float]) -> list[str]:
    names = {name.split("/", 1)[1] for name in scores if "/" in name}
    return sorted(n for n in names if n.startswith(("fid", "frechet_distance")))


def _what(report: Mapping[str, Any]) -> str:
    count, part = report.get("pictures"), report.get("part")
    if count is None:
        return ""
    listed = report.get("evaluation", {}).get("list")
    data = report.get("data", {})
    named = f" {markdown_code(data['name'])}" if data.get("name") else ""
    called = f"the data{named}" if data.get("own", True) else f"other data{named}"
    digest = f" (fingerprint {data['scored']})" if "scored" in data else ""
    return (
        f"Of {count:,} pictures"
        + (f" of the {part} part of {called}{digest}" if part else "")
        + (f", those in the list {markdown_code(listed)}" if listed else "")
        + ":"
    )


def _how(report: Mapping[str, Any]) -> str:
    settings = report.get("evaluation", {})
    if "temperature" not in settings:
        return ""
    drawn = f"at temperature {settings['temperature']:g}"
    if settings.get("top_k"):
        drawn += f" among the {settings['top_k']} likeliest indices"
    if settings.get("top_p", 1.0) < 1:
        drawn += f" among the likeliest indices that hold {settings['top_p']:.0%} of probability"
    return (
        "*Greedy* takes the likeliest index each time. Samples, one or the mean of several, are "
        f"drawn {drawn}, seed {settings.get('seed', 0)}. Rows with another picture's code or context "
        "are controls: they tell how much the prediction owes to each."
    )


def _verdict(scores: Mapping[str, float], scoring: Scoring) -> str:
    """A sentence if predicting without looking does as well."""
    name = scoring.headline
    known = {b: scores[f"{b}/{name}"] for b in BASELINES if f"{b}/{name}" in scores}
    if not known or f"greedy/{name}" not in scores:
        return ""
    sign = 1 if scoring.higher_is_better else -1
    best = max(known, key=lambda baseline: sign * known[baseline])
    if sign * scores[f"greedy/{name}"] > sign * known[best]:
        return ""
    return (
        f"**The greedy prediction scores no better than a predictor that uses no model** "
        f"({TITLES[best]})."
    )


def _cost(scores: Mapping[str, float]) -> str:
    if "codebook/bits_per_image" not in scores:
        return ""
    return (
        f"Under stage II the code of a picture costs {scores['codebook/bits_per_image']:.0f} bits, "
        f"{scores['codebook/bits_per_index']:.2f} an index."
    )


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"
