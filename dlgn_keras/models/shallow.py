"""Shallow gating (DLGN-SF): each site's pre-activations straight from the input.

A dense site gets one dense layer on the flattened (or globally pooled) input.
A convolutional site gets one convolution whose window is the site's receptive
field in the deep chain: the filters the chain could reach, without the chain.

Reference: "Deep Networks Learn Features From Local Discontinuities in the
Label Function" (ICLR 2025), DLGN-SF, for dense sites; the convolutional form
is ours.
"""

import dataclasses
from dataclasses import dataclass

from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    Residual,
    Skeleton,
    Stage,
    output_shapes,
)


@dataclass(frozen=True)
class _View:
    """What a position after some stages sees of the input."""

    window: int = 1
    strides: int = 1
    padding: str = "same"
    to_vector: tuple[Stage, ...] = ()

    def through(self, window: int, strides: int) -> "_View":
        grown = self.window + (window - 1) * self.strides
        return dataclasses.replace(self, window=grown, strides=self.strides * strides)


def shallow_skeletons(skeleton: Skeleton, input_shape: tuple) -> dict[str, Skeleton]:
    """Return, for each site, the one-layer skeleton that makes its pre-activations.

    Raises:
        ValueError: a site whose size one convolution of the input cannot have
            (odd image sizes that pooling cuts, mixed paddings).
    """
    shapes = output_shapes(skeleton, input_shape)
    largest = 2 * max(input_shape[:-1], default=1) - 1
    chains: dict[str, tuple[Stage, ...]] = {}

    def site(stage: Stage, view: _View, batch_norm: bool) -> None:
        *sizes, channels = shapes[stage.name]
        if not sizes:
            last: Stage = Dense(channels, batch_norm, name=stage.name)
            to_vector = tuple(
                dataclasses.replace(step, name=f"{stage.name}_{step.name}")
                for step in view.to_vector
            )
            chains[stage.name] = (*to_vector, last)
            return
        window = min(view.window, largest) if view.padding != "valid" else view.window
        if view.padding == "circular":
            window = min(window, *input_shape[:-1])
        last = Conv(
            channels, window, view.strides, view.padding, batch_norm, name=stage.name
        )
        # A trailing Flatten makes it a skeleton; only the site is read.
        made = output_shapes(Skeleton((last, Flatten())), input_shape)[stage.name]
        if made != shapes[stage.name]:
            raise ValueError(
                f"`shallow` cannot reach site {stage.name!r} of shape "
                f"{shapes[stage.name]} with one convolution of the input, which "
                f"gives {made}. Choose image sizes that pooling divides evenly and "
                "one padding throughout."
            )
        chains[stage.name] = (last,)

    def along(stages: tuple[Stage, ...], view: _View) -> _View:
        for stage in stages:
            if isinstance(stage, Residual):
                inside = along(stage.body, view)
                view = inside if inside.window >= view.window else view
            elif isinstance(stage, Conv):
                grown = view.through(stage.kernel_size, stage.strides)
                view = dataclasses.replace(grown, padding=stage.padding)
            elif isinstance(stage, AveragePool):
                view = view.through(stage.pool_size, stage.pool_size)
            elif isinstance(stage, Flatten | GlobalPool):
                view = dataclasses.replace(view, to_vector=(stage,))
            if getattr(stage, "gated", False):
                inner = stage.body[-1] if isinstance(stage, Residual) else stage
                site(stage, view, getattr(inner, "batch_norm", False))
        return view

    along(skeleton.stages, _View())
    order = skeleton.site_names
    return {name: Skeleton(chains[name], f"{name}_shallow") for name in order}
