"""Spectrum, effective rank, alignment and nu against their definitions."""

import numpy as np
import pytest

from dlgn_keras import kernels


@pytest.fixture
def factor(rng):
    return rng.normal(size=(8, 5))


def test_spectrum_holds_the_squared_singular_values_over_their_sum(factor):
    squares = np.linalg.svd(factor, compute_uv=False) ** 2
    found = kernels.eigenvalues(factor @ factor.T)
    np.testing.assert_allclose(found[:5], squares / squares.sum(), rtol=1e-10)
    np.testing.assert_allclose(found[5:], 0, atol=1e-12)


def test_effective_rank_counts_equal_directions(rng, factor):
    turned, _ = np.linalg.qr(rng.normal(size=(8, 8)))
    gram = turned[:, :3] @ turned[:, :3].T
    np.testing.assert_allclose(kernels.effective_rank(gram), 3, rtol=1e-10)
    squares = np.linalg.svd(factor, compute_uv=False) ** 2
    expected = squares.sum() ** 2 / (squares**2).sum()
    found = kernels.effective_rank(factor @ factor.T)
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_alignment_is_the_cosine_of_centred_features_grams(factor, rng):
    other = rng.normal(size=(8, 3))
    a, b = (f - f.mean(0) for f in (factor, other))
    a, b = (a @ a.T).ravel(), (b @ b.T).ravel()
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    grams = factor @ factor.T, other @ other.T
    np.testing.assert_allclose(kernels.alignment(*grams), expected, rtol=1e-10)
    moved = (factor + 3.0) @ (factor + 3.0).T  # centring takes a shift away
    np.testing.assert_allclose(kernels.alignment(moved, grams[1]), expected, rtol=1e-9)
    assert abs(kernels.alignment(moved, grams[1], centered=False) - expected) > 1e-3


def test_nu_is_the_least_norm_of_a_fit_times_the_trace(factor):
    gram = factor @ factor.T + 0.1 * np.eye(8)
    labels = np.array([3, 3, 7, 7, 3, 7, 3, 7])
    signs = np.where(labels == 7, 1.0, -1.0)
    # w = features^T H^-1 y fits the labels exactly; its squared norm is y H^-1 y
    root = np.linalg.cholesky(gram)
    fit = np.linalg.lstsq(root, signs, rcond=None)[0]
    expected = fit @ fit * np.trace(gram)
    np.testing.assert_allclose(kernels.nu(gram, labels), expected, rtol=1e-9)
    np.testing.assert_allclose(kernels.nu(7 * gram, labels), expected, rtol=1e-9)
    assert kernels.nu(gram + 5 * np.outer(signs, signs), labels) < expected


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: kernels.eigenvalues(np.ones((2, 3))),
            "`gram` must be a square matrix",
        ),
        (lambda: kernels.eigenvalues(np.full((2, 2), np.nan)), "`gram` must be finite"),
        (lambda: kernels.effective_rank(np.zeros((2, 2))), "positive trace"),
        (lambda: kernels.alignment(np.eye(2), np.eye(3)), "the same examples"),
        (lambda: kernels.alignment(np.ones((2, 2)), np.eye(2)), "must not be constant"),
        (lambda: kernels.nu(np.ones((3, 3)), [0, 1, 0]), "a Gram of rank 1 of 3"),
        (lambda: kernels.nu(np.eye(3), [0, 1, 2]), "two values"),
    ],
)
def test_bad_grams_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
