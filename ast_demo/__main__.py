"""`python -m ast_demo`."""

from ast_demo.cli import main

if __name__ == "__main__":
    main()
