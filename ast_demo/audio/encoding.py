"""A Waveform to the bytes of a file that players take."""

from __future__ import annotations

import io

import numpy as np

from ast_demo.audio.waveform import SAMPLE_RATE, Waveform


def to_wav(waveform: Waveform) -> bytes:
    """A waveform as WAV of floats, to the last bit: where a half overshoots full scale, nothing is cut."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, waveform.samples, SAMPLE_RATE, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def to_flac(waveform: Waveform) -> bytes:
    """The clip as it was heard, as FLAC with two equal channels: what every player and Spotlight's spectrogram take."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack([waveform.samples] * 2, axis=1), SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()
