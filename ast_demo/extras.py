"""Packages that not everyone needs: `pip install 'ast-demo[finetune]'` brings those of an extra along."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Literal

from ast_demo.errors import SettingsError

Extra = Literal["finetune", "spotlight", "ray", "onnx"]
_MODULES: dict[Extra, tuple[str, ...]] = {
    "finetune": ("accelerate", "audiomentations", "tensorboard"),
    "spotlight": ("renumics", "websockets"),
    "ray": ("ray",),
    "onnx": ("onnx", "onnxruntime", "onnxscript"),
}
_WHAT: dict[Extra, str] = {
    "finetune": "Fine-tuning",
    "spotlight": "Spotlight",
    "ray": "The engine 'ray'",
    "onnx": "ONNX",
}


def missing(extra: Extra) -> list[str]:
    """What of an extra is not installed."""
    return [name for name in _MODULES[extra] if find_spec(name) is None]


def need(extra: Extra) -> None:
    """Go on only where an extra is installed.

    Raises:
        SettingsError: It is not.
    """
    if names := missing(extra):
        what = f"{', '.join(names)}, which {'is' if len(names) == 1 else 'are'} not installed"
        raise SettingsError(f"{_WHAT[extra]} needs {what}. Install the extra: pip install 'ast-demo[{extra}]'")
