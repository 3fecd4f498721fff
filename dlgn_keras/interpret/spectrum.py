"""Which spatial frequencies a gate listens to."""

from typing import NamedTuple

import numpy as np

from dlgn_keras.interpret.filters import GateFilters, gate_filters
from dlgn_keras.models import GatedModel


class Spectrum(NamedTuple):
    """The frequency response of every filter of a site.

    frequencies: one array per image axis, cycles per pixel, ascending from -0.5.
    magnitude: (*number of frequencies, in_channels, units), what a plane wave of unit
        amplitude in one input channel becomes: |sum_t kernel[t] exp(2 pi i f . t)|.
    """

    frequencies: tuple[np.ndarray, ...]
    magnitude: np.ndarray


def spectrum(net: GatedModel | GateFilters, site: str = "", size: int = 32) -> Spectrum:
    """Return the frequency response of the filters of a DLGN's site.

    Args:
        net: a DLGN, or what `gate_filters` returned.
        site: name of a gated stage; not needed for given filters.
        size: least number of frequencies per axis; a larger window has as many as
            it has taps, so that nothing is lost.

    Raises:
        ValueError: as `gate_filters`, or an input without image axes.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(8), (16, 16, 3), num_classes=10)
        >>> spectrum(net, "conv_2", size=16).magnitude.shape
        (16, 16, 3, 8)
    """
    filters = net if isinstance(net, GateFilters) else gate_filters(net, site)
    window = filters.kernel.shape[:-2]
    if not window:
        raise ValueError(
            "`net` must take sequences or images: a vector has no frequencies. "
            f"Received: filters of shape {filters.kernel.shape}."
        )
    axes = tuple(range(len(window)))
    sizes = [max(n, size) for n in window]
    response = np.fft.fftn(filters.kernel, sizes, axes)
    frequencies = tuple(np.fft.fftshift(np.fft.fftfreq(n)) for n in sizes)
    return Spectrum(frequencies, np.abs(np.fft.fftshift(response, axes)))
