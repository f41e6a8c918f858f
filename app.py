"""Entry point of a Hugging Face Space, and of `python app.py`: build the page and serve it."""

import contextlib

import ast_demo  # noqa: F401 - sets up how PyTorch waits, before anything loads it

with contextlib.suppress(ImportError):
    import spaces  # noqa: F401 - on 🤗 ZeroGPU it has to come before torch

from ast_demo.errors import told_as_a_sentence
from ast_demo.settings import read_settings
from ast_demo.ui.page import launch

if __name__ == "__main__":
    with told_as_a_sentence():
        launch(read_settings())
