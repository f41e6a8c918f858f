"""Memory: a comparison of more checkpoints than the cache may hold stays within what the settings say, and one more."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import ASTConfig, ASTForAudioClassification

from tests.clips import REPOSITORY

STRIDE = 16  # of the published AST-base, the one with the fewest tokens and so the fastest
AST_BASE_MB = 342.6  # 85.7 million weights in float32
LIMIT_MB = 2.2 * AST_BASE_MB  # two, and not three
# Beside the weights, one clip of 514 tokens takes: 12 layers' attention (13 MB), the widest layer's hidden states and
# their copies (25 MB), and what the allocator keeps for later. Much less than a further checkpoint.
CLIP_MB = 80

COMPARE = """
import json, sys
import numpy as np
import torch
from ast_demo.audio import waveform_from_samples
from ast_demo.models import CheckpointCache, default_checkpoint
from ast_demo.inspection import compare, inspect
from ast_demo.settings import Settings

def resident_mb(what):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what)) * 1024 / 1e6

torch.set_num_threads(1)
clip = waveform_from_samples(0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32), 16_000)
# Whatever is imported on the way to a first result.
inspect(clip, CheckpointCache(Settings()).load(default_checkpoint()))
before = resident_mb("VmRSS")
cache = CheckpointCache(Settings(checkpoint_cache_mb=float(sys.argv[1])))
comparison = compare(clip, sys.argv[2:], cache.load)
print(json.dumps({
    "peak_mb": resident_mb("VmHWM") - before,
    "failures": [failure.message for failure in comparison.failures],
    "logits": [one.prediction.logits.tolist() for one in comparison.inspections],
    "pairs": len(comparison.agreement.pairs),
}))
"""


@pytest.fixture
def four(tmp_path: Path) -> list[str]:
    """Four AST-base with random weights, no two the same, in float16: each is larger in memory than on the disk."""
    torch.manual_seed(0)
    with torch.device("meta"):
        model = ASTForAudioClassification(ASTConfig(frequency_stride=STRIDE, time_stride=STRIDE))
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    random = (0.02 * torch.randn(max(shape.numel() for shape in shapes.values()) + 4)).half()
    folders = []
    for number in range(4):
        folder = tmp_path / f"base-{number}"
        folder.mkdir()
        weights = {
            name: random[number : number + shape.numel()].reshape(shape).clone() for name, shape in shapes.items()
        }
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        model.config.save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text("{}")  # all as ASTFeatureExtractor has it by default
        folders.append(str(folder))
    return folders


@pytest.mark.skipif(sys.platform != "linux", reason="reads the largest size of a process from /proc")
def test_four_ast_base_on_a_cache_that_holds_two(four: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", COMPARE, str(LIMIT_MB), *four],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["failures"] == []
    assert result["pairs"] == 6
    assert len({tuple(logits) for logits in result["logits"]}) == 4
    print(f"At most {result['peak_mb']:.0f} MB beside what was there before.")
    assert result["peak_mb"] > 2 * AST_BASE_MB  # two are kept, as the limit allows
    assert result["peak_mb"] < LIMIT_MB + AST_BASE_MB + CLIP_MB
