"""Labelled clips through checkpoints: a table with a row for each clip, metrics, a Parquet file.

Each clip takes the same path as in `inspection`, so its row holds what Inspect shows of it. Rows are written as they
come, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from ast_demo.audio import SAMPLE_RATE, Waveform, read_audio
from ast_demo.checkpoints import Checkpoint, CheckpointFacts
from ast_demo.clip_facts import measure_clip
from ast_demo.comparison import MOST, match_key
from ast_demo.errors import AudioError, CheckpointError, DataError
from ast_demo.figures import confusion_figure, reliability_figure, rollout_thumbnail, spectrogram_thumbnail, to_png
from ast_demo.inspection import Inspection, inspect
from ast_demo.labelled_clips import LABEL_SEPARATOR, LabelledClip, LabelledClips
from ast_demo.metrics import compare_correctness, score_multi_label, score_single_label

_CLIPS_A_PART = 25
_PARTS, _RUN, _TABLE, _METRICS = "parts", "run.json", "evaluation.parquet", "metrics.json"


@dataclass(frozen=True)
class Evaluation:
    """What checkpoints said of labelled clips.

    Attributes:
        folder: Where the table, the metrics and the pictures lie.
        table: A row for each clip that could be read, see `columns_of`; a pandas DataFrame.
        checkpoints: Names, in the order asked for.
        metrics: By checkpoint, as `metrics.json`.
        comparisons: For every two checkpoints, as `compare_correctness` returns it.
        unreadable: Name of each clip that could not be read, and why.
    """

    folder: Path
    table: Any
    checkpoints: tuple[str, ...]
    metrics: Mapping[str, Mapping[str, Any]]
    comparisons: tuple[Mapping[str, Any], ...]
    unreadable: Mapping[str, str]


def column(field: str, checkpoint: str) -> str:
    """Name of a column that belongs to one checkpoint."""
    return f"{field} ({checkpoint})"


def evaluate(
    clips: LabelledClips,
    references: Sequence[str],
    load: Callable[[str], Checkpoint],
    folder: Path,
    *,
    label_map: Mapping[str, str] | None = None,
    max_clip_s: float = 600.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Evaluation:
    """Show labelled clips to one to four checkpoints.

    Writes into `folder`: `evaluation.parquet` (a row for each clip), `metrics.json`, `confusion_NAME.png` and `reliability_NAME.png`. A folder
    that holds a part of the same evaluation is gone on with.

    Args:
        references: Names, folders or Hub ids.
        load: Gives the checkpoint of a reference, as `CheckpointCache.load` does.
        label_map: What labels of the data are called by the checkpoints. Case, spaces and underscores do not matter.
        progress: Told how many of how many clips are done; what it raises stops the run, and what is done is kept.

    Raises:
        CheckpointError: No checkpoint, more than four, one twice, or one that cannot be loaded.
        DataError: Labels that a checkpoint does not have; no clip that can be read; the folder holds another
            evaluation or cannot be written to.
    """
    if not 1 <= len(references) <= MOST or len(set(references)) < len(references):
        raise CheckpointError(
            f"Expected one to {MOST} different checkpoints to evaluate, got {', '.join(references) or 'none'}."
        )
    facts = [load(reference).facts for reference in references]
    names = tuple(one.name for one in facts)
    if len(set(names)) < len(names):
        raise CheckpointError(f"Expected checkpoints with different names, got {', '.join(names)}.")
    _check_labels(clips, facts, label_map or {})
    _check_same_run(clips, facts, label_map or {}, folder)
    done = _read_parts(folder)
    finished = sum(len(rows) for rows in done)
    progress(finished, len(clips.clips))
    for start in range(0, len(clips.clips), _CLIPS_A_PART):
        number = start // _CLIPS_A_PART
        if number < len(done):
            continue
        part = clips.clips[start : start + _CLIPS_A_PART]
        tell = partial(_tell_share, progress, finished, len(part), len(clips.clips))
        rows = _evaluate_part(part, references, load, label_map or {}, max_clip_s, tell)
        _write_part(rows, folder, number)
        finished += len(part)
        progress(finished, len(clips.clips))
    return _finish(folder, names, clips, facts, label_map or {})


def read_evaluation(folder: Path) -> Evaluation:
    """An evaluation that was finished earlier.

    Raises:
        DataError: There is none in the folder.
    """
    import pandas as pd

    try:
        summary = json.loads((folder / _METRICS).read_text(encoding="utf-8"))
        table = pd.read_parquet(folder / _TABLE)
    except (OSError, ValueError):
        raise DataError(
            f"There is no finished evaluation in {str(folder)!r}. Expected {_TABLE} and {_METRICS}."
        ) from None
    return Evaluation(
        folder,
        table,
        tuple(summary["checkpoints"]),
        summary["checkpoints"],
        tuple(summary["comparisons"]),
        summary["unreadable"],
    )


def _tell_share(progress: Callable[[int, int], None], before: int, size: int, total: int, share: float) -> None:
    """The last clip of a part counts once the part is written."""
    progress(before + min(int(share * size), size - 1), total)


def _evaluate_part(
    part: Sequence[LabelledClip],
    references: Sequence[str],
    load: Callable[[str], Checkpoint],
    label_map: Mapping[str, str],
    max_clip_s: float,
    progress: Callable[[float], None],
) -> list[dict[str, Any]]:
    """Rows of some clips; of one that cannot be read, its name and the reason.

    One checkpoint after the other sees all of them, so that a cache that is too small for all checkpoints loads each
    once and not once a clip.
    """
    rows: list[dict[str, Any]] = []
    heard: list[tuple[dict[str, Any], LabelledClip, Waveform]] = []
    for clip in part:
        try:
            waveform = read_audio(clip.source, name=clip.name, max_s=max_clip_s)
        except AudioError as error:
            rows.append({"clip": clip.name, "unreadable": str(error)})
            continue
        rows.append(_row(clip, waveform))
        heard.append((rows[-1], clip, waveform))
    for number, reference in enumerate(references):
        checkpoint = load(reference)
        for place, (row, clip, waveform) in enumerate(heard):
            inspection = inspect(waveform, checkpoint)
            row |= _columns_of(inspection, clip, label_map)
            on_grid, correct = inspection.spectrogram is not None, row[column("correct", checkpoint.facts.name)]
            if on_grid and not isinstance(row.get("spectrogram"), bytes):  # the first checkpoint's that has one
                row["spectrogram"] = spectrogram_thumbnail(inspection)
            shown = on_grid and not correct
            row[column("rollout", checkpoint.facts.name)] = rollout_thumbnail(inspection) if shown else None
            progress((number + (place + 1) / len(heard)) / len(references))
    return rows


def _row(clip: LabelledClip, waveform: Waveform) -> dict[str, Any]:
    """What the table says of a clip whatever the checkpoints."""
    row: dict[str, Any] = {
        "clip": clip.name,
        "label": clip.label,
        "unreadable": None,
        "audio": _flac(waveform),
        "duration_s": waveform.duration_s,
        **asdict(measure_clip(waveform)),
    }
    return row | {name: value for name, value in clip.columns.items() if name not in row}


def _columns_of(inspection: Inspection, clip: LabelledClip, label_map: Mapping[str, str]) -> dict[str, Any]:
    """What the table says of a clip and one checkpoint."""
    prediction, facts = inspection.prediction, inspection.checkpoint
    keys = [match_key(label) for label in prediction.labels]
    true = [keys.index(_key(label, label_map)) for label in clip.labels]
    top = prediction.top(3)
    order = np.argsort(-prediction.scores, kind="stable")
    best = int(order[0])
    margin = float(prediction.scores[order[0]] - prediction.scores[order[1]]) if len(order) > 1 else 1.0
    # A prediction that is one of the clip's labels is spelled as the data spell it.
    spelled = dict(zip(true, clip.labels, strict=True))
    values = {
        "prediction": spelled.get(best, _spelling(prediction.labels[best], label_map)),
        "confidence": float(prediction.scores[best]),
        "correct": best in true,
        "loss": _loss(prediction.logits, true, facts.activation),
        "margin": margin,
        "entropy_bits": _entropy(prediction.scores),
        "top_3": ", ".join(f"{label} {score:.1%}" for label, score in top),
        "padding_share": inspection.padding_share,
        "truncated_s": inspection.truncated_s,
        "rollout_on_padding": float(inspection.rollout.padding_share[-1]),
        "scores": prediction.scores.astype(np.float32),
        "embedding": prediction.embedding.astype(np.float32),
    }
    return {column(field, facts.name): value for field, value in values.items()}


def _key(label: str, label_map: Mapping[str, str]) -> str:
    mapped = {match_key(name): match_key(other) for name, other in label_map.items()}
    return mapped.get(match_key(label), match_key(label))


def _spelling(label: str, label_map: Mapping[str, str]) -> str:
    """A checkpoint's label as the data call it."""
    return {match_key(other): name for name, other in label_map.items()}.get(match_key(label), label)


def _loss(logits: np.ndarray, true: Sequence[int], activation: str) -> float:
    """Cross-entropy of the one label, or the mean binary cross-entropy over all labels, in nats."""
    values = logits.astype(np.float64)
    if activation == "softmax" and len(true) == 1:
        return float(np.logaddexp.reduce(values) - values[true[0]])
    target = np.zeros(len(values))
    target[list(true)] = 1
    return float((np.logaddexp(0, values) - target * values).mean())


def _entropy(scores: np.ndarray) -> float:
    """Of the scores scaled to a sum of 1, in bits."""
    shares = scores / scores.sum()
    shares = shares[shares > 0]
    return float(-(shares * np.log2(shares)).sum())


def _flac(waveform: Waveform) -> bytes:
    """The clip as it was heard, as FLAC with two equal channels: what every player and Spotlight's spectrogram take."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([waveform.samples] * 2, axis=1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _check_labels(clips: LabelledClips, facts: Sequence[CheckpointFacts], label_map: Mapping[str, str]) -> None:
    for one in facts:
        known = {match_key(label) for label in one.labels}
        unknown = [label for label in clips.labels if _key(label, label_map) not in known]
        if unknown:
            listed = ", ".join(unknown[:10]) + (f" and {len(unknown) - 10} more" if len(unknown) > 10 else "")
            raise DataError(
                f"{one.name!r} does not know these labels of the data: {listed}. It knows "
                f"{', '.join(one.labels[:20])}{' …' if len(one.labels) > 20 else ''}. A label map can say which is which."
            )


def _check_same_run(
    clips: LabelledClips, facts: Sequence[CheckpointFacts], label_map: Mapping[str, str], folder: Path
) -> None:
    """Make the folder, or make sure that what is in it is a part of the same evaluation."""
    described = repr([(clip.name, clip.labels) for clip in clips.clips]) + repr(facts) + repr(sorted(label_map.items()))
    run = {"fingerprint": hashlib.sha256(described.encode()).hexdigest(), "clips": len(clips.clips)}
    file = folder / _RUN
    try:
        if file.is_file():
            if json.loads(file.read_text(encoding="utf-8")) != run:
                raise DataError(f"The folder {str(folder)!r} holds another evaluation. Choose another folder.")
            return
        (folder / _PARTS).mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(run) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"Cannot write to the folder {str(folder)!r}: {error.strerror or error}.") from None


def _write_part(rows: list[dict[str, Any]], folder: Path, number: int) -> None:
    """Write some rows; a part is there whole or not at all."""
    import pandas as pd

    file = folder / _PARTS / f"{number:05d}.parquet"
    try:
        pd.DataFrame(rows).to_parquet(file.with_suffix(".half"), index=False)
        file.with_suffix(".half").replace(file)
    except OSError as error:
        raise DataError(f"Cannot write to the folder {str(folder)!r}: {error.strerror or error}.") from None


def _read_parts(folder: Path) -> list[Any]:
    """The parts that are there, from the first one on without a gap."""
    import pandas as pd

    return [pd.read_parquet(file) for file in _parts(folder)]


def _parts(folder: Path) -> Iterator[Path]:
    number = 0
    while (file := folder / _PARTS / f"{number:05d}.parquet").is_file():
        yield file
        number += 1


def _finish(
    folder: Path,
    names: tuple[str, ...],
    clips: LabelledClips,
    facts: Sequence[CheckpointFacts],
    label_map: Mapping[str, str],
) -> Evaluation:
    """Put the parts together, and compute what needs all clips."""
    import pandas as pd

    rows = pd.concat([part.dropna(axis=1, how="all") for part in _read_parts(folder)], ignore_index=True)
    unreadable: dict[str, str] = {}
    if "unreadable" in rows:
        bad = rows[rows["unreadable"].notna()]
        unreadable = dict(zip(bad["clip"], bad["unreadable"], strict=True))
        rows = rows[rows["unreadable"].isna()].drop(columns="unreadable").reset_index(drop=True)
    if rows.empty:
        raise DataError(f"Not one of the {len(unreadable)} clips could be read. {next(iter(unreadable.values()))}")
    for name in rows.select_dtypes(object).columns:
        rows[name] = rows[name].where(rows[name].notna(), None)  # a missing picture is None, not a number
    for name in names:
        rows[column("correct", name)] = rows[column("correct", name)].astype(bool)
        points = _coordinates(np.stack(rows[column("embedding", name)].to_numpy()))
        rows[column("x", name)], rows[column("y", name)] = points[:, 0], points[:, 1]
    metrics = {one.name: _score(rows, one, clips.multi_label, label_map) for one in facts}
    comparisons = [
        compare_correctness(rows[column("correct", a)].to_numpy(), rows[column("correct", b)].to_numpy(), (a, b))
        for a, b in combinations(names, 2)
    ]
    summary = {"checkpoints": metrics, "comparisons": comparisons, "unreadable": unreadable}
    try:
        rows.to_parquet(folder / _TABLE, index=False)
        (folder / _METRICS).write_text(json.dumps(summary, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        if not clips.multi_label:
            for name in names:
                figure = confusion_figure(rows["label"].tolist(), rows[column("prediction", name)].tolist(), name)
                file_name = re.sub(r"[^\w.-]+", "--", name)
                (folder / f"confusion_{file_name}.png").write_bytes(to_png(figure))
                right, confidence = (rows[column(field, name)].to_numpy() for field in ("correct", "confidence"))
                figure = reliability_figure(right, confidence, name)
                (folder / f"reliability_{file_name}.png").write_bytes(to_png(figure))
    except OSError as error:
        raise DataError(f"Cannot write to the folder {str(folder)!r}: {error.strerror or error}.") from None
    return Evaluation(folder, rows, names, metrics, tuple(comparisons), unreadable)


def _score(rows: Any, facts: CheckpointFacts, multi_label: bool, label_map: Mapping[str, str]) -> dict[str, Any]:
    if not multi_label:
        return score_single_label(
            rows["label"].tolist(),
            rows[column("prediction", facts.name)].tolist(),
            rows[column("confidence", facts.name)].tolist(),
        )
    keys = {match_key(label): place for place, label in enumerate(facts.labels)}
    scores = np.stack(rows[column("scores", facts.name)].to_numpy())
    truth = np.zeros(scores.shape, dtype=int)
    for row, labels in enumerate(rows["label"]):
        for label in filter(None, labels.split(LABEL_SEPARATOR)):
            truth[row, keys[_key(label, label_map)]] = 1
    return score_multi_label(truth, scores, facts.labels)


def _coordinates(embeddings: np.ndarray) -> np.ndarray:
    """Two coordinates for each clip, (clips, 2): t-SNE, seeded; principal components where there are few clips."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    n = len(embeddings)
    if n < 3:
        return np.zeros((n, 2))
    if n < 30:
        return PCA(n_components=2, random_state=0).fit_transform(embeddings)
    return TSNE(n_components=2, init="pca", perplexity=min(30, n / 4), random_state=0).fit_transform(embeddings)
