"""Entry point of a Hugging Face Space, and of `python app.py`: build the page and serve it."""

import contextlib
import os

# GNU's OpenMP, which PyTorch computes with on Linux, lets a thread that waits for others keep its processor for
# milliseconds. Where visitors and Spotlight want it too, that makes a clip take five times as long; this short, it
# costs nearly nothing when nobody else is there. Read when PyTorch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "5000")

with contextlib.suppress(ImportError):
    import spaces  # noqa: F401 - on 🤗 ZeroGPU it has to come before torch

from ast_demo.errors import told_as_a_sentence
from ast_demo.settings import read_settings
from ast_demo.ui import launch

if __name__ == "__main__":
    with told_as_a_sentence():
        launch(read_settings())
