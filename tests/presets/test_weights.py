"""Weights: stored in half the size or in full, read back exactly, nothing else read."""

import h5py
import keras
import numpy as np
import pytest
import tiny

from dlgn_keras.presets.weights import load_weights, save_weights


def numbers(net):
    return [np.asarray(keras.ops.convert_to_numpy(v.value)) for v in net.variables]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.weights.h5"


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("kind", ["fc_batch_norm", "resnet"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_weights_come_back_rounded_to_the_stored_type(family, kind, dtype, path):
    net, other = tiny.build(family, kind), tiny.build(family, kind)
    save_weights(net, path, dtype)
    load_weights(other, path)
    for ours, theirs in zip(numbers(net), numbers(other), strict=True):
        assert theirs.dtype == np.float32
        np.testing.assert_array_equal(theirs, ours.astype(dtype).astype("float32"))


def test_keras_itself_reads_the_file(path):
    net, other = tiny.build("dlgn", "resnet"), tiny.build("dlgn", "resnet")
    save_weights(net, path, "float32")
    other.load_weights(path)
    for ours, theirs in zip(numbers(net), numbers(other), strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_the_optimizer_of_a_trained_model_stays_behind(path, rng):
    net, other = tiny.build("dlgn", "fc"), tiny.build("dlgn", "fc")
    net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x = rng.normal(size=(4, *net.input_shape[1:]))
    net.train_on_batch(x, np.array([0, 1, 0, 1]))
    assert len(net.optimizer.variables) > len(net.trainable_variables)
    save_weights(net, path, "float32")
    load_weights(other, path)
    for ours, theirs in zip(numbers(net), numbers(other), strict=True):
        np.testing.assert_array_equal(theirs, ours)


def test_float16_is_about_half_as_large(tmp_path):
    net = tiny.build("dlgn", (tiny.skeletons.fc(2, 256), (64,)))
    save_weights(net, tmp_path / "half.weights.h5", "float16")
    save_weights(net, tmp_path / "full.weights.h5", "float32")
    half, full = (
        (tmp_path / f"{n}.weights.h5").stat().st_size for n in ("half", "full")
    )
    assert half < 0.55 * full


def test_weights_out_of_range_are_not_stored_as_infinity(path):
    net = tiny.build("dlgn", "fc")
    net.variables[0].assign(np.full(net.variables[0].shape, 1e6))
    with pytest.raises(ValueError, match='`dtype` must be "float32" for these weights'):
        save_weights(net, path, "float16")


def test_weights_of_another_model_are_refused(path):
    save_weights(tiny.build("dlgn", "fc"), path, "float32")
    with pytest.raises(ValueError, match=r"must hold the .* numbers"):
        load_weights(tiny.build("dnn", "fc"), path)


def test_weights_of_the_right_number_in_other_shapes_are_refused(path):
    one = tiny.build("dnn", (tiny.skeletons.fc(1, 7), (3,)))  # 28 + 16 numbers
    other = tiny.build("dnn", (tiny.skeletons.fc(1, 6), (4,)))  # 30 + 14
    save_weights(one, path, "float32")
    with pytest.raises(ValueError, match="does not fit"):
        load_weights(other, path)


def _soft(file, outside):
    del file["layers"]
    file["layers"] = h5py.SoftLink("/elsewhere")


def _external_link(file, outside):
    file["more"] = h5py.ExternalLink(str(outside), "/secret")


def _external_data(file, outside):
    file.create_dataset("more", (3,), "f4", external=[(str(outside), 0, 12)])


def _virtual(file, outside):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(str(outside), "secret", (3,))
    file.create_virtual_dataset("more", layout)


def _objects(file, outside):
    file.create_dataset("more", data=[b"code"], dtype=h5py.string_dtype())


def _cycle(file, outside):
    file["layers/again"] = file["layers"]


def _shared(file, outside):
    """Two ways to each of 40 groups: 2 ** 40 walks."""
    group = file.create_group("g0")
    for k in range(1, 40):
        inner, group = group, file.create_group(f"g{k}")
        group["a"] = group["b"] = inner


def _claimed(file, outside):
    """10 ** 10 numbers in no bytes: chunks that were never written."""
    file.create_dataset("more", (10**5, 10**5), "f4", chunks=(1000, 1000))


TAMPER = [_soft, _external_link, _external_data, _virtual, _objects, _cycle]


@pytest.mark.parametrize("tamper", [*TAMPER, _shared, _claimed])
def test_a_file_that_leads_elsewhere_is_refused(tamper, path, tmp_path):
    outside = tmp_path / "outside.h5"
    outside.write_bytes(bytes(64))
    net = tiny.build("dlgn", "fc")
    save_weights(net, path, "float32")
    with h5py.File(path, "r+") as file:
        tamper(file, outside)
    with pytest.raises(ValueError, match=r"must hold|no whole"):
        load_weights(net, path)


def test_a_damaged_structure_is_a_value_error(path, rng):
    """Any error but a ValueError ends the test; the untouched file loads."""
    net = tiny.build("dnn", "fc")
    save_weights(net, path, "float32")
    whole, refused = path.read_bytes(), 0
    load_weights(net, path)
    for _ in range(60):
        torn = bytearray(whole)
        for place in rng.integers(len(torn), size=rng.integers(1, 20)):
            torn[place] = rng.integers(256)
        path.write_bytes(torn)
        try:
            load_weights(net, path)
        except ValueError:
            refused += 1
    assert 10 < refused < 60


def test_a_file_that_is_no_hdf5_is_refused(path):
    path.write_bytes(b"\x80\x04pickle")
    with pytest.raises(ValueError, match="is no whole HDF5 file"):
        load_weights(tiny.build("dlgn", "fc"), path)
