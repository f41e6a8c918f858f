"""The JSON of the benchmarks -> the table and picture of them in the documents."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from benchmarks.measure import read_arguments

_PAGE = Path("docs/speed.md")
_PICTURE = "assets/speed.png"
_PLACE = re.compile(r"(<!-- speed -->\n).*?(<!-- /speed -->)", re.DOTALL)
_OURS, _FORWARD, _LIMIT = "#0b7a75", "#8a90a0", "#c2410c"


def write_summary(folder: Path) -> None:
    """Put the table of what is in `folder` between the marks in `docs/speed.md`, and draw the picture beside it."""
    results = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}
    machine = results["explain"]["machine"]
    lines = [
        f"![Seconds to explain one clip: the textbook's way, the forward pass alone, and this program](../{_PICTURE})",
        "",
        "| what | this program | beside it | ratio, with quartiles |",
        "|---|---|---|---|",
        *_explained(results["explain"]),
        *(_evaluated(results["evaluate"]) if "evaluate" in results else []),
        *(_features(results["features"]) if "features" in results else []),
        *(_started(results["start"]) if "start" in results else []),
        *(_shown(results["spotlight"]) if "spotlight" in results else []),
        "",
        f"{machine['processor']}, {machine['threads']} threads, {', '.join(machine['instructions'])}; "
        f"torch {machine['torch']}. AST-base with random weights, clips of 10.24 s, medians of interleaved runs.",
    ]
    text = _PAGE.read_text(encoding="utf-8")
    table = "\n".join(lines) + "\n"
    _PAGE.write_text(_PLACE.sub(lambda found: found[1] + table + found[2], text), encoding="utf-8")
    _draw(results["explain"])


def _explained(result: dict[str, Any]) -> list[str]:
    by_route = {row["route"]: row for row in result["rows"]}
    textbook = by_route["textbook, float32"]
    lines = []
    for name, row in by_route.items():
        if name.startswith("explained"):
            lines.append(
                f"| scores and rollout of a clip, {name.split(', ')[1]} | {_seconds(row['seconds'])}, "
                f"{row['MB above the model']:.0f} MB | the textbook's way: {_seconds(textbook['seconds'])}, "
                f"{textbook['MB above the model']:.0f} MB | {_ratio(row['× faster than the textbook'])} |"
            )
    return lines


def _evaluated(result: dict[str, Any]) -> list[str]:
    own, *others = result["rows"]
    best = min(others, key=lambda row: row["seconds a clip"]["median"])
    return [
        f"| evaluation, a clip | {_seconds(own['seconds a clip'])} | {best['route']}: "
        f"{_seconds(best['seconds a clip'])} | {_ratio(best['times as long as this program'])} |"
    ]


def _features(result: dict[str, Any]) -> list[str]:
    other, own = result["rows"][-2:]
    return [
        f"| spectrogram of a clip, {own['batch']} at a time | {own['ms a clip']['median']:.1f} ms | {other['route']}: "
        f"{other['ms a clip']['median']:.1f} ms | {_ratio(own['× faster'])} |"
    ]


def _started(result: dict[str, Any]) -> list[str]:
    imports, page, drawn = result["rows"]
    return [
        f"| page served | {_seconds(page['seconds'])} | importing gradio, torch and transformers alone: "
        f"{_seconds(imports['seconds'])} | {_ratio(page['× imports alone'])} as long |",
        f"| the four pictures of a clip | {_seconds(drawn['seconds'])} | | |",
    ]


def _shown(result: dict[str, Any]) -> list[str]:
    click = result["rows"][0]
    return [f"| {click['what']} | {_seconds(click['seconds'])} | | |"]


def _seconds(spread: dict[str, float]) -> str:
    return f"{spread['median']:.2f} s"


def _ratio(spread: dict[str, float]) -> str:
    return f"**{spread['median']:.1f} ×** ({spread['low']:.1f}–{spread['high']:.1f})"


def _draw(result: dict[str, Any]) -> None:
    """A bar for each route, and the limits of the machine across them."""
    figure = Figure(figsize=(8, 2.6), layout="constrained")
    axes = figure.add_subplot()
    rows = result["rows"][::-1]
    for place, row in enumerate(rows):
        ours = row["route"].startswith("explained")
        axes.barh(place, row["seconds"]["median"], color=_OURS if ours else _FORWARD, height=0.66)
        axes.text(row["seconds"]["median"], place, f" {row['seconds']['median']:.2f} s", va="center", fontsize=9)
        limit = result.get(f"limit_s_{row['route'].split(', ')[1]}")
        if limit:
            axes.plot([limit["median"]] * 2, [place - 0.4, place + 0.4], color=_LIMIT, linewidth=2)
    axes.plot([], [], color=_LIMIT, linewidth=2, label="what the multiplications alone take")
    axes.set_yticks(range(len(rows)), [row["route"].replace("explained", "this program") for row in rows], fontsize=9)
    axes.set_xlabel("seconds for one clip of 10.24 s, AST-base", fontsize=9)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    FigureCanvasAgg(figure)
    figure.savefig(_PICTURE, dpi=150)


def main() -> None:
    write_summary(read_arguments(__doc__ or "").output)


if __name__ == "__main__":
    main()
