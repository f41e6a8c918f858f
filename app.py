"""Entry point of a Hugging Face Space, and of `python app.py`: build the page and serve it."""

from ast_demo.settings import read_settings
from ast_demo.ui.page import launch

if __name__ == "__main__":
    launch(read_settings())
