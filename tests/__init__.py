"""The test suite. `conftest.py` lists its plugins; see CONTRIBUTING.md for how to run it."""
