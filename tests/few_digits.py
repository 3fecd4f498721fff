"""A few digits, read once: what the tests of training train on."""

import functools

from dlgn_keras import data


@functools.cache
def digits(validation=0):
    """100 training and 33 test digits, some of the training ones held out."""
    few = data.load("digits").take(100, 33)
    return few.with_validation(validation) if validation else few
