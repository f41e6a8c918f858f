"""What the Inspect tab tells of a clip and of a patch, beside the pictures."""

from __future__ import annotations

from ast_demo.inspection import Inspection, PatchInspection
from ast_demo.ui import html


def patch_facts(inspection: Inspection, patch: PatchInspection) -> str:
    """Where a patch lies, and what it sees."""
    _, grid = inspection.fed
    box = grid.box(patch.frequency, patch.time)
    start_s = inspection.waveform.start_s
    share = float(inspection.rollout.final[patch.frequency, patch.time]) * grid.n_patches
    return html.table(
        f"Patch in row {patch.frequency + 1} of {grid.n_frequency} from below, column {patch.time + 1} of {grid.n_time}",
        {
            "token": str(grid.token(patch.frequency, patch.time)),
            "sees": f"{box.low_hz:.0f}–{box.high_hz:.0f} Hz, {start_s + box.start_s:.3f}–{start_s + box.stop_s:.3f} s",
            "mel bins, frames": f"{box.mel_start}–{box.mel_stop - 1}, {box.frame_start}–{box.frame_stop - 1}",
            "rollout of the whole clip": f"{share:.2f} × an equal share",
        },
    )


def facts_table(inspection: Inspection, window: str = "") -> str:
    """What the model was fed; `window` tells which part of a longer recording it is."""
    waveform, facts, rollout = inspection.waveform, inspection.checkpoint, inspection.rollout
    channels = "mono" if waveform.channels == 1 else f"mean of {waveform.channels} channels"
    rows = {"window": window} if window else {}
    rows |= {
        "recording": f"{waveform.duration_s:.2f} s, {waveform.original_rate} Hz, {channels}; resampled to 16000 Hz",
        "cut off": f"{inspection.truncated_s:.2f} s are never heard" if inspection.truncated_s else "nothing",
    }
    if inspection.spectrogram is None:
        tokens = rollout.maps.shape[-1]
        rows["tokens"] = (
            f"{tokens} over {inspection.input_s:.2f} s; no spectrogram, no patch grid: a sequence over time"
        )
    else:
        rows |= _grid_facts(inspection)
    padding, special = rollout.padding_share[-1], rollout.special_share[-1]
    rows |= {
        "rollout rests on": f"padding {padding:.0%}, special tokens {special:.0%}, the clip {1 - padding - special:.0%}",
        "model": f"{facts.n_layers} layers of {facts.n_heads} heads, {facts.n_parameters / 1e6:.1f} M parameters, "
        f"{len(facts.labels)} labels",
        "computed": inspection.computed,
    }
    return html.table("", rows)


def _grid_facts(inspection: Inspection) -> dict[str, str]:
    spectrogram, grid = inspection.fed
    fed = spectrogram.settings
    return {
        "frames": f"{spectrogram.clip_frames} of {grid.n_frames} hold the clip",
        "padding": f"{spectrogram.padding_share:.0%} of the input, at {fed.padding_value:+.3f}; "
        f"digital silence would be {fed.silence_value:+.3f}",
        "normalisation": f"(log-mel {_signed(-fed.mean)}) / (2 × {fed.std:.4f})",
        "tokens": f"{grid.n_tokens}: {grid.n_frequency} × {grid.n_time} patches and {grid.n_special} special tokens",
        "in no patch": f"{grid.n_mels - grid.seen_mels} mel bins at the top, "
        f"{grid.n_frames - grid.seen_frames} frames at the end",
    }


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else '+'} {abs(value):.4f}"
