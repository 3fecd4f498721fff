"""The real data set that comes with a dependency: scikit-learn's digits."""

import numpy as np

from dlgn_keras.data.dataset import Dataset
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.data.splits import stratified_indices

NUM_TEST = 360
SPLIT_SEED = 0


def read_digits() -> Dataset:
    """Return scikit-learn's bundled digits: 8 x 8 grey images, values 0 to 16.

    1797 images, split once and for all into 1437 to train and 360 to test:
    stratified by class, seed 0.
    """
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    x = images.reshape(-1, 8, 8, 1).astype(np.uint8)
    y = labels.astype(np.int64)
    test = np.zeros(len(y), bool)
    test[stratified_indices(y, NUM_TEST, SPLIT_SEED)] = True
    return Dataset(
        name="digits",
        x_train=x[~test],
        y_train=y[~test],
        x_test=x[test],
        y_test=y[test],
        num_classes=10,
        preprocessing=Preprocessing(scale=1 / 16, raw_range=(0, 16)),
        terms=(
            "E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits "
            "(test part), UCI Machine Learning Repository, 1998. CC BY 4.0; "
            "bundled with scikit-learn."
        ),
    )
