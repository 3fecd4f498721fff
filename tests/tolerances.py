"""How close is equal: one table, by the precision the numbers were computed in."""

import numpy as np

# Relative to the largest entry of what is expected: sums of up to 1e3 float32 terms
# keep five digits, bfloat16 has a mantissa of 8 bits, float64 sums of paths keep 11.
RELATIVE = {"float64": 1e-11, "float32": 1e-5, "bfloat16": 3e-2}


def distance(actual, expected):
    """Largest difference over the largest entry expected (0.1 where all are small)."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    if actual.shape != expected.shape:
        raise AssertionError(f"shapes differ: {actual.shape} and {expected.shape}")
    scale = max(0.1, float(np.abs(expected).max(initial=0)))
    return float(np.abs(actual - expected).max(initial=0)) / scale


def assert_close(actual, expected, dtype="float32"):
    found = distance(actual, expected)
    assert found <= RELATIVE[dtype], f"{found:.2e} apart, {dtype} allows less"
