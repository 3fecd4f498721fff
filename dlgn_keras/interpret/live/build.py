"""Write the live page: models as ONNX files with their explanations, and a page."""

import base64
import json
import tempfile
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.interpret.filters import gate_filters
from dlgn_keras.interpret.live.runtime import runtime_script
from dlgn_keras.interpret.onnx import export_contributions
from dlgn_keras.interpret.plots.style import as_map
from dlgn_keras.interpret.sites import rungs
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.files import write_text


def live_page(nets: Mapping[str, Any], out: Any, runtime: Any = None) -> Path:
    """Write a static site that runs models in the browser; it works offline.

    One draws or drops a picture and sees the answer, the contributions at each site,
    the gates, and the filters of those that matter; a click flips a gate. The numbers
    are those of `explain`, by onnxruntime-web.

    Args:
        nets: {name: model of grey or colour images}, of one input shape; the first one
            leads, the others stand beside it.
        out: folder to write into; it is made if it is missing.
        runtime: the npm package of onnxruntime-web as a file; None lets npm fetch it.

    Returns:
        the path of index.html.

    Raises:
        ValueError: no models, or models of other inputs; another backend than
            TensorFlow.
        OSError: onnxruntime-web could not be fetched.
    """
    shapes = {tuple(net.input_shape[1:]) for net in nets.values()}
    shape = next(iter(shapes), ())
    if len(shapes) != 1 or len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            "`nets` must be models of images of one shape, grey or colour. "
            f"Received: {', '.join(map(str, sorted(shapes))) or 'none'}."
        )
    models = [_described(name, net) for name, net in nets.items()]
    script, notice = runtime_script(runtime)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    page = resources.files("dlgn_keras.interpret.live").joinpath("page.html")
    write_text(out / "runtime.js", script)
    write_text(out / "models.js", f"const MODELS = {json.dumps(models)};\n")
    write_text(out / "NOTICE.txt", notice)
    write_text(out / "index.html", page.read_text("utf-8"))
    return out / "index.html"


def _described(name: str, net: Any) -> dict[str, Any]:
    """Return what the page needs to know of a model, ready for json."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export_contributions(net, file, gates=True)
        held = base64.b64encode(file.read_bytes()).decode()
    preprocessing = getattr(net, "preprocessing", None)
    low, high = getattr(preprocessing, "raw_range", None) or (0.0, 255.0)
    ladder = rungs(net)
    return {
        "name": name,
        "family": net.family.upper(),
        "classes": list(net.class_names),
        "shape": list(net.input_shape[1:]),
        "range": [float(low), float(high)],
        "sites": [
            {
                "name": site,
                "shape": list(shape),
                "rung": site in ladder,
                "filters": _filters(net, site),
            }
            for site, shape in net.sites
        ],
        "onnx": held,
    }


def _filters(net: Any, site: str) -> dict[str, Any] | None:
    """Return the filters of a site as bytes, each scaled to -127..127, if global."""
    if not (isinstance(net, GatedModel) and net.has_linear_gates):
        return None
    try:
        kernel = gate_filters(net, net.source_site(site)).kernel
    except ValueError:  # the site has no filter that is one for all places
        return None
    maps = np.stack([as_map(kernel[..., u]) for u in range(kernel.shape[-1])])
    maps = np.nan_to_num(maps)
    top = np.abs(maps).max(axis=(1, 2), keepdims=True)
    levels = np.round(127 * maps / np.where(top > 0, top, 1)).astype("int8")
    return {
        "size": list(maps.shape[1:]),
        "levels": base64.b64encode(levels.tobytes()).decode(),
    }
