"""The zoo's own scripts, importable as `python zoo/build.py` sees them."""

import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "zoo"))


@pytest.fixture(scope="session")
def checkout():
    return CHECKOUT
