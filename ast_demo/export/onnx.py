"""A checkpoint as ONNX, to be run without this program: sound goes in, its log-mel spectrogram is made inside.

Everything that is done to a frame up to its spectrum is linear, so it is one product with a matrix: what the program's own
front end makes of the unit vectors. Its factors are in double precision, as there.
"""

from __future__ import annotations

import copy
import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ast_demo.audio import FRAME_LENGTH, HOP_LENGTH, SAMPLE_RATE
from ast_demo.errors import CheckpointError, cannot_write
from ast_demo.extras import need
from ast_demo.features import LOG_FLOOR, InputSettings, count_samples, filter_bank, spectrum
from ast_demo.inference import run_layer
from ast_demo.models import Checkpoint

MODEL, INT8_MODEL, LABELS, README = "model.onnx", "model.int8.onnx", "labels.json", "README.md"
_OPSET = 20
_FRONT_END = "front_end"

_README = """# {name} as ONNX

`pip install onnxruntime soundfile`, then:

```python
import json
import onnxruntime
import soundfile

samples, rate = soundfile.read("clip.wav", dtype="float32", always_2d=True)
assert rate == {rate}, "resample it to {rate} Hz first"
session = onnxruntime.InferenceSession("model.onnx")  # or model.int8.onnx: smaller and faster, a little less exact
logits = session.run(["logits"], {{"samples": samples.mean(axis=1)[None]}})[0][0]
labels = json.load(open("labels.json"))["labels"]
print(labels[logits.argmax()])
```

In: `samples`, (clips, n) float32, mono, {rate} Hz, within ±1. The model hears {seconds:.2f} s: what is shorter it pads as it
was trained, what is longer it does not hear. Out: `logits`, (clips, {n_labels}), of which the {activation} is the score;
`embedding`, (clips, {size}){attention}.
"""
_ATTENTION = """; `attention`, (clips, {n_layers}, {n_tokens}, {n_tokens}), of each layer the mean of its heads,
of which attention rollout is made"""


def export_onnx(checkpoint: Checkpoint, folder: Path, *, attention: bool = False) -> list[Path]:
    """Write a checkpoint as ONNX, in single precision and with 8-bit weights, its labels, and how to run it.

    Args:
        folder: Is made where it is missing.
        attention: The models also give the mean of the heads of every layer.

    Returns:
        The files: `model.onnx`, `model.int8.onnx`, `labels.json`, `README.md`.

    Raises:
        CheckpointError: It has no patch grid.
        DataError: The folder cannot be written to.
        SettingsError: The extra for ONNX is not installed.
    """
    need("onnx")
    facts = checkpoint.facts
    if facts.input is None or facts.grid is None:
        raise CheckpointError(
            f"{facts.name!r} has no patch grid, and only Audio Spectrogram Transformers are written as ONNX. "
            "Expected one of them; 🤗 Optimum exports other models."
        )
    model: Any = checkpoint.model
    told = {"labels": list(facts.labels), "activation": facts.activation, "sampling_rate": SAMPLE_RATE}
    more = _ATTENTION.format(n_layers=facts.n_layers, n_tokens=facts.grid.n_tokens) if attention else ""
    readme = _README.format(
        name=facts.name, rate=SAMPLE_RATE, seconds=facts.input.duration_s, n_labels=len(facts.labels),
        activation=facts.activation, size=model.config.hidden_size, attention=more,
    )  # fmt: skip
    paths = [folder / name for name in (MODEL, INT8_MODEL, LABELS, README)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_model(checkpoint, facts.input, paths[0], attention, {"name": facts.name, **told})
        _write_int8(paths[0], paths[1])
        paths[2].write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        paths[3].write_text(readme, encoding="utf-8")
    except OSError as error:
        raise cannot_write(folder, error) from None
    return paths


def zip_onnx(checkpoint: Checkpoint, path: Path) -> None:
    """Write the files of `export_onnx` into one archive. Raises as `export_onnx`."""
    with tempfile.TemporaryDirectory(prefix="ast-demo-") as folder:
        written = export_onnx(checkpoint, Path(folder))
        try:
            with zipfile.ZipFile(path, "w") as archive:  # weights do not get smaller
                for file in written:
                    archive.write(file, file.name)
        except OSError as error:
            raise cannot_write(path.parent, error) from None


class _FrontEnd(nn.Module):
    """Samples (batch, n) at 16 kHz to what the model is fed, (batch, frames, mel bins)."""

    basis: Tensor
    bank: Tensor
    ends: Tensor
    places: Tensor

    def __init__(self, settings: InputSettings) -> None:
        super().__init__()
        basis = torch.view_as_real(spectrum(torch.eye(FRAME_LENGTH, dtype=torch.float64)))
        starts = torch.arange(settings.n_frames) * HOP_LENGTH
        self.register_buffer("basis", basis.permute(0, 2, 1).flatten(1))  # (400, 514): real parts, imaginary parts
        self.register_buffer("bank", filter_bank(settings.n_mels))
        self.register_buffer("ends", starts + FRAME_LENGTH)
        self.register_buffer("places", starts[:, None] + torch.arange(FRAME_LENGTH))
        self.settings = settings

    def forward(self, samples: Tensor) -> Tensor:
        longest = count_samples(self.settings.n_frames)
        filled = torch.cat([samples, samples.new_zeros(samples.shape[0], longest)], dim=1)
        frames = filled[:, self.places].double()
        real, imaginary = (frames @ self.basis).float().chunk(2, dim=-1)
        energies = (real * real + imaginary * imaginary) @ self.bank
        log_mel = energies.clamp(min=LOG_FLOOR).log()
        # A frame that is not whole is padding, and padding is 0 before it is normalised.
        log_mel = torch.where((self.ends <= samples.shape[1])[:, None], log_mel, 0.0)
        return self.settings.normalise(log_mel)


class _FromSamples(nn.Module):
    """An `ASTForAudioClassification` with its front end."""

    def __init__(self, model: Any, settings: InputSettings, attention: bool) -> None:
        super().__init__()
        self.front_end, self.model, self.attention = _FrontEnd(settings), model, attention

    def forward(self, samples: Tensor) -> tuple[Tensor, ...]:
        ast = self.model.audio_spectrogram_transformer
        hidden, means = ast.embeddings(self.front_end(samples)), []
        for layer in ast.layers:
            hidden, weights = run_layer(layer, hidden)
            means.append(weights.mean(dim=1))
        special = ast.layernorm(hidden[:, :2])
        embedding = (special[:, 0] + special[:, 1]) / 2
        logits = self.model.classifier(embedding)
        return (logits, embedding, torch.stack(means, dim=1)) if self.attention else (logits, embedding)


def _write_model(
    checkpoint: Checkpoint, settings: InputSettings, path: Path, attention: bool, told: dict[str, Any]
) -> None:
    module = _FromSamples(copy.deepcopy(checkpoint.model), settings, attention).eval()
    batch, n = torch.export.Dim("batch"), torch.export.Dim("n")
    with _quiet(), torch.inference_mode():
        program: Any = torch.onnx.export(
            module,
            (torch.zeros(2, SAMPLE_RATE),),
            dynamo=True,
            opset_version=_OPSET,
            input_names=["samples"],
            output_names=["logits", "embedding", "attention"][: 3 if attention else 2],
            dynamic_shapes={"samples": {0: batch, 1: n}},
            verbose=False,
        )
    for number, node in enumerate(program.model.graph):
        if f"/{_FRONT_END}:" in node.metadata_props.get("namespace", ""):
            node.name = f"{_FRONT_END}_{number}"
        node.metadata_props.clear()  # the paths of this program's files
    program.model.metadata_props.update({key: json.dumps(value, ensure_ascii=False) for key, value in told.items()})
    program.save(path, external_data=False)


def _write_int8(path: Path, to: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    names = [node.name for node in onnx.load(path, load_external_data=False).graph.node]
    with _quiet():
        quantize_dynamic(
            path,
            to,
            op_types_to_quantize=["MatMul", "Gemm"],
            per_channel=True,
            reduce_range=True,  # seven bits: with eight, processors without VNNI overflow
            weight_type=QuantType.QInt8,
            nodes_to_exclude=[name for name in names if name.startswith(_FRONT_END)],
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off the screen what the exporters say of their own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
