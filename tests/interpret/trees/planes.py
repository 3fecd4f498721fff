"""Hyperplanes by hand, and DLGNs whose gates are at given hyperplanes."""

import numpy as np

import dlgn_keras as dk
from dlgn_keras.interpret import Hyperplanes


def of(normals, offsets=None):
    """Hyperplanes with these normals, through the origin unless told otherwise."""
    normals = np.asarray(normals, float)
    offsets = np.zeros(len(normals)) if offsets is None else np.asarray(offsets, float)
    return Hyperplanes(
        normals, offsets, np.zeros(len(normals)), np.arange(len(normals))
    )


def net_at(vectors, sites=1, **options):
    """A shallow DLGN whose gate hyperplanes are the rows (normal, offset)."""
    vectors = np.asarray(vectors, np.float32)
    width, dim = len(vectors) // sites, vectors.shape[1] - 1
    skeleton = dk.skeletons.fc(sites, width)
    net = dk.DLGN(skeleton, (dim,), 2, shallow=True, seed=0, **options)
    for k, site in enumerate(net.sites):
        rows = vectors[k * width : (k + 1) * width]
        shapes = {(dim, width): rows[:, :-1].T, (width,): rows[:, -1]}
        (layer,) = [
            part
            for part in net.gating_network.layers
            if part.weights and f"{site.name}" in part.weights[0].path
        ]
        layer.set_weights([shapes[tuple(w.shape)] for w in layer.weights])
    return net


def rows_of(tree, rng, copies=1, noise=0):
    """The tree's hyperplanes, signed and scaled at random, and random ones."""
    vectors = np.concatenate([tree.normals, tree.biases[:, None]], axis=1)
    vectors = np.repeat(vectors, copies, axis=0)
    factors = rng.uniform(0.5, 3, len(vectors)) * rng.choice([-1, 1], len(vectors))
    vectors = vectors * factors[:, None]
    # Random ones through the middle of the points too: nothing tells them apart.
    others = np.pad(rng.normal(size=(noise, tree.dim)), ((0, 0), (0, 1)))
    return rng.permutation(np.concatenate([vectors, others]))
