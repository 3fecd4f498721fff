"""Where a value network can be cut: sites that every path from the input crosses."""

from typing import Any

from keras import tree

from dlgn_keras.layers import AppliedGate
from dlgn_keras.tools.messages import check_choice

INPUT, AUTO = "input", "auto"


def crossed_sites(net: Any) -> tuple[str, ...]:
    """Return the sites that all paths from the input cross, in order.

    In a chain these are all sites. A path may skip a site inside a residual block, by
    the shortcut, and crosses the gates behind the addition.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.resnet(8, (1, 2, 2)), (4, 4, 1), 2, seed=0)
        >>> len(net.sites), len(crossed_sites(net))
        (7, 4)
    """
    network: Any = net.value_network
    z, gates = network.input
    return tuple(s for s in cuttable(net) if not _passes_by(network, z, gates[s]))


def cuttable(net: Any) -> tuple[str, ...]:
    """Return the sites in whose gates the logits are linear."""
    return tuple(site for site, _ in net.sites if site not in net.divisors)


def unit_sites(net: Any) -> tuple[str, ...]:
    """Return the sites of one gate a unit, which leaves out max poolings and norms."""
    made = {site: tuple(q.shape[1:]) for site, q in net.gating_network.output.items()}
    shapes = dict(net.sites)
    return tuple(s for s in cuttable(net) if made.get(s) == tuple(shapes[s]))


def rungs(net: Any) -> tuple[str, ...]:
    """Return the crossed sites of one gate a unit."""
    unit = unit_sites(net)
    return tuple(site for site in crossed_sites(net) if site in unit)


def check_at(net: Any, at: Any) -> str:
    """Return `at` if it is "input", "auto" or a site of the model."""
    if at in net.divisors:
        raise ValueError(
            "`at` must be a site in whose gates the logits are linear; those of this "
            f"one divide or choose. Received: {at!r}."
        )
    check_choice("at", at, [INPUT, AUTO, *cuttable(net)])
    return at


def _passes_by(network: Any, z: Any, gate: Any) -> bool:
    """Return whether the output is reached from z without meeting a gate."""
    reached = {id(t) for t in tree.flatten(z)}
    by_depth = network._nodes_by_depth
    for depth in sorted(by_depth, reverse=True):
        for node in by_depth[depth]:
            read = [id(t) for t in node.input_tensors]
            if not node.is_input and reached & set(read) and not _meets(node, gate):
                reached |= {id(t) for t in node.outputs}
    return any(id(t) in reached for t in network.outputs)


def _meets(node: Any, gate: Any) -> bool:
    """Return whether a gate multiplies all that comes out of a node."""
    places = [k for k, t in enumerate(node.input_tensors) if t is gate]
    # The gates of what saturates multiply a constant, which z does not reach.
    constant = isinstance(node.operation, AppliedGate) and places and places[0] > 1
    return bool(places) and not constant
