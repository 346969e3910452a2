"""The benchmark's table."""

from collections.abc import Mapping
from typing import Any

from uvim_fsq.tables import aligned

COLUMNS = (
    "part",
    "ms/call",
    "(min)",
    "ms/image",
    "images/s",
    "CPU ms/image",
    "GFLOP/image",
    "GFLOP/s",
    "of peak",
    "by CPU time",
    "memory GB",
    "device GB",
    "compile s",
    "CPU s",
    "cached s",
)


def table(measured: Mapping[str, Any]) -> str:
    """Aligned text of a report, as `python -m benchmarks.models` writes it to JSON."""
    rows: list[tuple[str, ...]] = [("", *COLUMNS)]
    for entry in measured["parts"]:
        for name, result in zip("AB", entry["results"], strict=False):
            rows.append((name, *_row(result)))
    lines = [f"{name}: {text}" for name, text in measured["settings"].items()]
    device = measured["parts"][0]["results"][0]["device"]
    versions = measured["parts"][0]["results"][0]["versions"]
    lines.append(
        f"{device['count']} x {device['kind']} ({device['platform']}), {device['cores']} host "
        f"cores; jax {versions['jax']}, Python {versions['python']}; {measured['date']}"
    )
    lines += ["", aligned(rows, left=2), ""]
    for entry in measured["parts"]:
        lines += _notes(entry)
    return "\n".join(lines)


def _notes(entry: Mapping[str, Any]) -> list[str]:
    """The peak of the part's own minutes, and the ratio of two settings."""
    part = entry["results"][0]["part"]
    lines = [
        f"{part}: peak of a large {dtype} matrix product between the rounds "
        f"{peak['flops_per_second'] / 1e9:,.0f} GFLOP/s (best "
        f"{peak['flops_per_second_max'] / 1e9:,.0f})"
        for dtype, peak in entry["peak"].items()
    ]
    if "ratio" in entry:
        ratio = entry["ratio"]
        lines.append(
            f"{part}: time per image of A over B {ratio['median']:.3f} "
            f"({ratio['min']:.3f} to {ratio['max']:.3f})"
        )
    return lines


def _row(result: Mapping[str, Any]) -> tuple[str, ...]:
    images = result["images"]
    work = result["flops"]
    return (
        result["part"],
        _number(1e3 * result["seconds"]),
        _number(1e3 * result["seconds_min"]),
        _number(images and 1e3 * result["seconds_per_image"]),
        _number(images and result["images_per_second"]),
        _number(images and 1e3 * result["cpu_seconds"] / images),
        _number(images and work / images / 1e9),
        _number(work and result["flops_per_second"] / 1e9),
        _percent(result.get("share_of_peak")),
        _percent(result.get("cpu_share_of_peak")),
        _gigabytes(result["host_bytes"]),
        _gigabytes(result["device_bytes"]),
        _number(result.get("compile_s")),
        _number(result.get("compile_cpu_s")),
        _number(result.get("compile_cached_s")),
    )


def _number(value: float | int | None) -> str:
    if not value:
        return ""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _percent(share: float | None) -> str:
    return f"{share:.1%}" if share else ""


def _gigabytes(count: int | None) -> str:
    return f"{count / 1e9:.2f}" if count else ""
