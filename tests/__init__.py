"""The tests mirror `ast_demo/`, a file for each room. `clips`, `tiny` and `reference` are what they share."""
