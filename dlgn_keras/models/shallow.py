"""Shallow gating (DLGN-SF): one affine map of the input for each site.

A dense site gets one dense layer on the flattened (or globally pooled) input.
A convolutional site gets one convolution whose window is the site's receptive
field in the deep chain: the filters the chain could reach, without the chain.

Reference: "Deep Networks Learn Features From Local Discontinuities in the
Label Function" (ICLR 2025), DLGN-SF, for dense sites; the convolutional form
is ours.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Skeleton,
    Stage,
    output_shapes,
)
from dlgn_keras.skeletons.rules import StageRules
from dlgn_keras.skeletons.window import Window


@dataclass(frozen=True)
class _View:
    """What a position after some stages sees of the input."""

    window: int = 1
    strides: int = 1
    padding: str = "same"
    to_vector: tuple[Stage, ...] = ()

    def through(self, window: Window) -> "_View":
        grown = self.window + (window.span - 1) * self.strides
        strides = self.strides * window.strides
        return dataclasses.replace(self, window=grown, strides=strides)


# stage, view before it, how to walk the stages of a block -> view after it
VIEWS = StageRules("Shallow gating")
VIEWS.refuse(MaxPool, reason="no convolution of the input takes a maximum")


@VIEWS.rule(Residual, "body", "shortcut", "gated")
def _block(stage: Residual, view: _View, along: Any) -> _View:
    inside = along(stage.body, view)
    return inside if inside.window >= view.window else view


_MIXED = "one convolution of the input mixes all channels"


@VIEWS.rule(Conv, "window", "filters", "batch_norm", "gated", groups=_MIXED)
def _conv(stage: Conv, view: _View, along: Any) -> _View:
    return dataclasses.replace(view.through(stage.window), padding=stage.padding)


@VIEWS.rule(AveragePool, "window")
def _pool(stage: AveragePool, view: _View, along: Any) -> _View:
    return view.through(stage.window)


@VIEWS.rule(Flatten)
@VIEWS.rule(GlobalPool)
def _to_vector(stage: Flatten | GlobalPool, view: _View, along: Any) -> _View:
    return dataclasses.replace(view, to_vector=(stage,))


@VIEWS.rule(Dense, "affine", "gated")
def _dense(stage: Dense, view: _View, along: Any) -> _View:
    return view


def shallow_skeletons(skeleton: Skeleton, input_shape: tuple) -> dict[str, Skeleton]:
    """Return, for each site, the one-layer skeleton that makes its pre-activations.

    Raises:
        ValueError: a site whose size one convolution of the input cannot have
            (odd image sizes that pooling cuts, mixed paddings).
    """
    VIEWS.check(skeleton.stages)
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
            view = VIEWS(stage, view, along)
            if stage.gated:
                inner = stage.body[-1] if isinstance(stage, Residual) else stage
                site(stage, view, getattr(inner, "batch_norm", False))
        return view

    along(skeleton.stages, _View())
    order = skeleton.site_names
    return {name: Skeleton(chains[name], f"{name}_shallow") for name in order}
