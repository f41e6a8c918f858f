"""What is known of a clip, of a map, of a comparison, as the one JSON that the command line, files and endpoints give."""

from __future__ import annotations

from collections.abc import Sequence

from ast_demo.explain import STAGES, ClipReport, Halves, RelevanceMap, TrustCard, cautions, padding_share
from ast_demo.inspection import Comparison, Inspection, Timeline
from ast_demo.settings import SHOWN_SCORES


def summarise(inspection: Inspection) -> dict[str, object]:
    """An inspection as a JSON object: facts and scores, without the arrays. Null is what a model without a grid lacks."""
    facts, spectrogram, rollout = inspection.checkpoint, inspection.spectrogram, inspection.rollout
    grid = facts.grid
    return {
        "clip": inspection.waveform.name,
        "checkpoint": facts.name,
        "activation": facts.activation,
        "activation_reason": facts.activation_reason,
        "predictions": to_list(inspection.prediction.top()),
        "start_s": inspection.waveform.start_s,
        "duration_s": round(inspection.waveform.duration_s, 4),
        "original_rate": inspection.waveform.original_rate,
        "channels": inspection.waveform.channels,
        "notes": list(inspection.notes),
        "frames": spectrogram and spectrogram.clip_frames,
        "input_frames": facts.input and facts.input.n_frames,
        "input_s": inspection.input_s,
        "mean": facts.input and facts.input.mean,
        "std": facts.input and facts.input.std,
        "padding_share": inspection.padding_share,
        "truncated_s": inspection.truncated_s,
        "patch_grid": grid and {"frequency": grid.n_frequency, "time": grid.n_time},
        "rollout_on_padding": float(rollout.padding_share[-1]),
        "rollout_on_special_tokens": float(rollout.special_share[-1]),
        "precision": inspection.precision,
        "precision_note": inspection.precision_note,
        "device": inspection.device,
        "device_note": inspection.device_note,
        "seconds": round(inspection.seconds, 4),
    }


def summarise_windows(inspection: Inspection, timeline: Timeline) -> dict[str, object]:
    """An inspection of one window as a JSON object, and the recording that it was cut from.

    As `summarise`, but `duration_s` is that of the recording, and `truncated_s` what of it lies outside this window;
    added are `windows` (start_s, end_s, label and score of the best, and the best as `predictions`), and
    `pooled`, the mean over the windows, in the form of `predictions`.
    """
    outside_s = max(0.0, timeline.duration_s - inspection.input_s)
    return summarise(inspection) | {
        "duration_s": round(timeline.duration_s, 4),
        "truncated_s": outside_s,
        "pooling": "mean of the windows' scores",
        "pooled": to_list(timeline.pooled.top()),
        "windows": [
            {
                "start_s": round(window.start_s, 4),
                "end_s": round(window.end_s, 4),
                **dict(zip(("label", "score"), window.prediction.top(1)[0], strict=True)),
                "predictions": to_list(window.prediction.top(SHOWN_SCORES)),
            }
            for window in timeline.windows
        ],
    }


def summarise_report(report: ClipReport) -> dict[str, object]:
    """All that was asked of a recording, as one JSON object: `describe_clip`, and the map under `map`."""
    summary = describe_clip(report.inspection, report.timeline, report.halves)
    if report.relevance is not None:
        summary["map"] = summarise_map(report.relevance, report.inspection, report.card)
    return summary


def describe_clip(
    inspection: Inspection, timeline: Timeline | None = None, halves: Halves | None = None
) -> dict[str, object]:
    """All that is known of a clip as one JSON object; the halves under `halves`."""
    summary = summarise(inspection) if timeline is None else summarise_windows(inspection, timeline)
    return summary | ({} if halves is None else {"halves": summarise_halves(halves)})


def summarise_comparison(comparison: Comparison) -> dict[str, object]:
    """A comparison as a JSON object."""
    agreement = comparison.agreement
    names = [one.checkpoint.name for one in comparison.inspections]
    return {
        "clip": comparison.waveform.name,
        "inspections": [summarise(one) for one in comparison.inspections],
        "failures": [{"checkpoint": one.checkpoint, "message": one.message} for one in comparison.failures],
        "agreement": agreement
        and {
            "shared_labels": list(agreement.shared_labels),
            "unshared_labels": [
                {"checkpoint": name, "labels": list(labels)}
                for name, labels in zip(names, agreement.unshared_labels, strict=True)
            ],
            "ensemble": [{"label": label, "score": score} for label, score in agreement.ensemble],
            "pairs": [
                {
                    "checkpoints": [names[pair.first], names[pair.second]],
                    "same_winner": pair.same_winner,
                    "divergence_bits": pair.divergence,
                    "rollout_correlation": pair.rollout_correlation,
                }
                for pair in agreement.pairs
            ],
        },
    }


def summarise_halves(halves: Halves) -> dict[str, object]:
    """What became of both halves, as a JSON object."""
    return {
        "map": halves.relevance.method,
        "label": halves.relevance.label,
        "against": halves.relevance.against,
        "keep": halves.keep,
        "energy_share": halves.energy_share,
        "kept": to_list(halves.kept.prediction.top()),
        "removed": to_list(halves.removed.prediction.top()),
    }


def summarise_map(relevance: RelevanceMap, inspection: Inspection, card: TrustCard | None = None) -> dict[str, object]:
    """A map, and its trust card if there is one, as a JSON object, without the arrays."""
    summary: dict[str, object] = {
        "method": relevance.method,
        "label": relevance.label,
        "against": relevance.against,
        "on_padding": padding_share(relevance, inspection),
        "on_special_tokens": relevance.special_share,
        "cautions": cautions(relevance, inspection),
    }
    if card is not None:
        summary["trust"] = {
            "label": card.label,
            "verdict": card.verdict,
            "insertion_less_deletion": {
                "map": card.of_map.gap,
                "loudness": card.of_energy.gap,
                "random": [curves.gap for curves in card.of_random],
            },
            "kept_under_shuffled_weights": dict(zip(STAGES, card.kept_under_random_weights, strict=False)),
        }
    return summary


def to_list(top: Sequence[tuple[str, float]]) -> list[dict[str, object]]:
    """Labels and scores as they are written to JSON."""
    return [{"label": label, "score": score} for label, score in top]
