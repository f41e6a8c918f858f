"""Average the weights of checkpoints that lie on one training path: often better than each of them.

    python recipes/average_checkpoints.py OUTPUT CHECKPOINT CHECKPOINT ...

Source: Wortsman and others, Model soups, 2022. The folders must have one architecture, the same labels and the same
input statistics; everything but the weights and the model card is taken from the first.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

SAME = ("config.json", "preprocessor_config.json")


def average(folders: list[Path]) -> dict[str, torch.Tensor]:
    """Mean of all weights, in the precision in which the first folder stores them."""
    states = [load_file(folder / "model.safetensors") for folder in folders]
    return {
        key: torch.stack([s[key].float() for s in states]).mean(0).to(value.dtype) for key, value in states[0].items()
    }


def read(file: Path) -> Any:
    """JSON, with numbers to six digits: statistics of the same clips differ in the tenth from machine to machine."""
    return json.loads(file.read_text(), parse_float=lambda number: f"{float(number):.6g}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Average the weights of checkpoints.")
    parser.add_argument("output", type=Path)
    parser.add_argument("checkpoints", type=Path, nargs="+")
    arguments = parser.parse_args()
    first, *others = arguments.checkpoints
    for file in SAME:
        for other in others:
            if read(first / file) != read(other / file):
                raise SystemExit(
                    f"{first / file} and {other / file} differ. Expected checkpoints of one training path."
                )
    arguments.output.mkdir(parents=True, exist_ok=True)
    for file in (*SAME, "split.csv", "training_log.json"):
        shutil.copy(first / file, arguments.output / file)
    save_file(average(arguments.checkpoints), arguments.output / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
