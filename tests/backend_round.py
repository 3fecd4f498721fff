"""One backend's part of the cross-backend round; run by test_backends.py.

    KERAS_BACKEND=jax python tests/backend_round.py FOLDER tensorflow,jax,torch [all]

Writes models of a few kinds that hold every layer, of each family (with `all`, of every
kind and family), with their logits, waits until the others have written theirs, loads
those, and writes down how far the logits are.
"""

import json
import os
import sys
import time
from pathlib import Path

import foreign
import keras
import numpy as np
import tiny
from tolerances import distance

import dlgn_keras as dk

# One of each kind of skeleton; what is left out differs in options alone.
LEFT_OUT = ("fc_batch_norm", "gconv_valid", "ungated")
KINDS = [kind for kind in tiny.KINDS if kind not in LEFT_OUT]
# {kind: family}: 1-D, 2-D and circular convolutions, blocks, dense layers, pools.
FEW = {"resnet": "dlgn", "sequence": "dgn", "gconv": "dlgn", "dense_residual": "dnn"}
MODES = ("soft", "hard", "straight_through")
LONGEST_WAIT = 300  # seconds


def models(every):
    """(number of the kind, kind, family) of each model."""
    for number, kind in enumerate(KINDS):
        for family in tiny.FAMILIES:
            if every or FEW.get(kind) == family:
                yield number, kind, family


def write(folder, every):
    """Models, inputs and logits; the same weights on no two backends."""
    for number, kind, family in models(every):
        options = {"preprocessing": dk.data.Preprocessing(0.5, 0.25)}
        if family != "dnn":
            options["gate"] = MODES[(number + number // 3) % 3]
            options["value_input"] = tiny.value_input(kind, number)
        net = tiny.build(family, tiny.wider(kind), **options)
        x = 3 * tiny.examples(np.random.default_rng(number), kind, 4)
        net.save(folder / f"{family}_{kind}.keras")
        logits = tiny.forward(net, x)
        np.savez(folder / f"{family}_{kind}.npz", x=x, logits=logits)
    name = "everything" if every else "shared"
    model = foreign.build(name)
    x = foreign.examples(np.random.default_rng(0), model)
    twin = dk.disentangle(model)
    twin.save(folder / f"twin_{name}.keras")
    logits = foreign.logits(model, x)
    np.savez(folder / f"twin_{name}.npz", x=x, logits=logits)
    (folder / "done").touch()


def read(folder):
    """{name: (distance of the logits, distance of a wrong example's logits)}."""
    found = {}
    for path in sorted(folder.glob("*.keras")):
        stored = np.load(path.with_suffix(".npz"))
        net = keras.models.load_model(path)
        logits = tiny.forward(net, stored["x"])
        wrong = np.roll(stored["logits"], 1, axis=0)
        found[path.stem] = distance(logits, stored["logits"]), distance(logits, wrong)
    return found


def wait_for(path):
    start = time.monotonic()
    while not path.exists():
        if time.monotonic() - start > LONGEST_WAIT:
            raise TimeoutError(f"{path} was not written in {LONGEST_WAIT} s.")
        time.sleep(0.2)


def main(folder, backends, every):
    backend = keras.backend.backend()
    if backend == "torch":
        keras.config.set_image_data_format("channels_first")
    keras.utils.set_random_seed(backends.index(backend))
    ours = folder / backend
    ours.mkdir()
    write(ours, every)
    for other in backends:
        if other == backend:
            continue
        wait_for(folder / other / "done")
        report = folder / f"{other}_under_{backend}.json"
        report.with_suffix(".part").write_text(json.dumps(read(folder / other)))
        os.replace(report.with_suffix(".part"), report)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:] == ["all"])
