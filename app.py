"""Entry point of a Hugging Face Space, and of `python app.py`: build the page and serve it."""

from ast_demo.errors import told_as_a_sentence
from ast_demo.settings import read_settings
from ast_demo.ui.page import launch

if __name__ == "__main__":
    with told_as_a_sentence():
        launch(read_settings())
