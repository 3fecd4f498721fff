"""What a Gram says: its spectrum, its effective rank, its alignment with another."""

from typing import Any

import numpy as np


def check_gram(name: str, gram: Any) -> np.ndarray:
    """Return a Gram as a float64 array, or say what is wrong with it."""
    gram = np.asarray(gram, np.float64)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not gram.size:
        raise ValueError(
            f"`{name}` must be a square matrix. Received: {name} of shape {gram.shape}."
        )
    if not np.isfinite(gram).all():
        raise ValueError(f"`{name}` must be finite. Received: NaN or infinite entries.")
    return gram


def alignment(first: Any, second: Any, centered: bool = True) -> float:
    """Return the alignment `<A, B>_F / (|A|_F |B|_F)` of two Grams, in [-1, 1].

    Args:
        first, second: Grams (n, n) of the same examples.
        centered: whether to take the mean out of the features first.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> round(dk.kernels.alignment(np.eye(4), 3 * np.eye(4)), 6)
        1.0

    Reference: Cortes et al., JMLR 2012 (centred kernel alignment).
    """
    a, b = check_gram("first", first), check_gram("second", second)
    if a.shape != b.shape:
        raise ValueError(
            "`first` and `second` must be Grams of the same examples. "
            f"Received: shapes {a.shape} and {b.shape}."
        )
    if centered:
        a, b = _centre(a), _centre(b)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    if norms == 0:
        raise ValueError("`first` and `second` must not be constant.")
    return float(np.sum(a / np.linalg.norm(a) * (b / np.linalg.norm(b))))


def _centre(gram: np.ndarray) -> np.ndarray:
    rows = gram.mean(0, keepdims=True)
    return gram - rows - gram.mean(1, keepdims=True) + rows.mean()


def spectrum(gram: Any) -> np.ndarray:
    """Return the eigenvalues over their sum, largest first: shares of the trace.

    Args:
        gram: Gram (n, n), symmetric.

    Returns:
        array (n,), float64.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> dk.kernels.spectrum(np.diag([1.0, 3.0])).tolist()
        [0.75, 0.25]
    """
    gram = check_gram("gram", gram)
    return np.linalg.eigvalsh(gram / _trace(gram))[::-1]


def effective_rank(gram: Any) -> float:
    """Return `(tr H)^2 / tr(H^2)`: how many equal directions would weigh as much.

    Args:
        gram: Gram (n, n), symmetric.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> round(dk.kernels.effective_rank(np.eye(5)), 6)
        5.0
    """
    gram = check_gram("gram", gram)
    return float(1 / np.sum((gram / _trace(gram)) ** 2))


def nu(gram: Any, labels: Any, ridge: float = 0.0) -> float:
    """Return `nu = y^T (H / tr H)^-1 y`: small where the kernel fits the labels.

    Args:
        gram: Gram (n, n).
        labels: (n,), one of two values each; taken as -1 and +1.
        ridge: added to the diagonal of `H / tr H`; 0 is the published measure.

    Raises:
        ValueError: labels of another length or of more than two values, or a Gram
            without an inverse.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> dk.kernels.nu(np.eye(4), [0, 1, 1, 0])
        16.0

    Reference: arXiv 2006.10529, section 6 (kernel alignment over training).
    """
    gram = check_gram("gram", gram)
    labels = np.asarray(labels)
    values = np.unique(labels)
    if labels.shape != gram.shape[:1] or len(values) != 2:
        raise ValueError(
            f"`labels` must be {len(gram)} entries of two values. Received: shape "
            f"{labels.shape} with {len(values)} values."
        )
    signs = np.where(labels == values[1], 1.0, -1.0)
    matrix = gram / _trace(gram) + ridge * np.eye(len(gram))
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise ValueError(
            "`gram` must be positive definite; give a small `ridge` (such as 1e-10). "
            f"Received: a Gram of rank {np.linalg.matrix_rank(matrix)} of {len(gram)}."
        ) from None
    return float(signs @ np.linalg.solve(matrix, signs))


def _trace(gram: np.ndarray) -> float:
    trace = float(np.trace(gram))
    if trace <= 0:
        raise ValueError(f"`gram` must have a positive trace. Received: {trace:.3g}.")
    return trace
