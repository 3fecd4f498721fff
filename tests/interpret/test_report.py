"""The report: its numbers are the API's, it stands alone, a browser runs it."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
import warnings
from html.parser import HTMLParser

import foreign
import numpy as np
import pytest
import tiny
from PIL import Image

import dlgn_keras as dk
from dlgn_keras import interpret
from dlgn_keras.cli import main
from dlgn_keras.cli.saved import load_model
from dlgn_keras.data import Preprocessing
from dlgn_keras.presets.files import read_metadata, seal

NUMBERS = {"0/DLGN", "0/paths", "0/bias"}


def build(family, channels=3, **options):
    skeleton = dk.skeletons.c4gap(4, depth=2)
    return tiny.build(family, (skeleton, (8, 8, channels)), **options)


class Reader(HTMLParser):
    """Collects what a page holds."""

    def __init__(self, page):
        super().__init__()
        self.images, self.addresses, self.cells, self.headings = [], [], [], []
        self.inside = ""
        self.feed(page)
        found = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
        self.data = json.loads(found.group(1))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.inside = tag
        if tag == "img":
            self.images.append(given)
        self.addresses += [given[k] for k in ("src", "href", "action") if k in given]
        if tag == "td" and "data-value" in given:
            self.cells.append(float(given["data-value"]))

    def handle_data(self, data):
        if self.inside == "h2" and data.strip():
            self.headings.append(data)


@pytest.fixture
def page(rng, tmp_path):
    net, twin = build("dlgn", value_bias=True), build("dnn")
    x = rng.uniform(size=(2, 8, 8, 3))
    names = ["<b>cat</b>", "</script>"]
    path = interpret.report(net, x, tmp_path / "page.html", twin, names, num_paths=4)
    return net, twin, x, path


def test_the_numbers_on_the_page_are_those_of_the_api(page):
    net, twin, x, path = page
    read = Reader(path.read_text())
    found = interpret.explain(net, x)
    other = interpret.explain(twin, x, found.target)
    for i in range(2):
        for label, e in {"DLGN": found, "DNN": other}.items():
            numbers = read.data["numbers"][f"{i}/{label}"]
            assert numbers["target"] == found.target[i]
            total = numbers["contributions"] + numbers["bias"]
            assert total == pytest.approx(numbers["logit"], abs=1e-4)
            shown = np.array(read.data["maps"][f"{i}/{label}"])
            sums = e.contributions[i].astype(float).sum(-1)
            np.testing.assert_allclose(shown, sums, rtol=1e-5)
            for logit in e.logits[i]:
                assert any(abs(cell - logit) < 1e-4 for cell in read.cells)
        maps = found.bias_maps()
        sums = {name: float(m[i].sum()) for name, m in maps.items()}
        assert read.data["numbers"][f"{i}/bias"] == pytest.approx(sums, abs=1e-6)
        top = interpret.top_paths(net, x[i], k=4, include_bias=False)
        expected = [path.contribution for path in top.paths]
        assert read.data["numbers"][f"{i}/paths"] == pytest.approx(expected, rel=1e-9)


def test_the_first_line_answers_and_the_top_paths_are_folded(rng, tmp_path):
    net = build("dlgn", value_bias=True)
    x = rng.uniform(size=(1, 8, 8, 3))
    options = {"at": "conv_1", "against": "next", "class_names": ["cat", "dog"]}
    page = interpret.report(net, x, tmp_path / "a.html", **options).read_text()
    found = interpret.explain(net, x, at="conv_1", against="next")
    best = options["class_names"][int(found.target[0])]
    logits = np.sort(found.logits[0])[::-1]
    first = re.search(r'<p class="lead">(.*?)</p>', page).group(1)
    said = f"The answer is {best}, with a logit of {logits[0]:.2f}, "
    assert first.startswith(said + f"{logits[0] - logits[1]:.2f} above ")
    sizes = {
        at: np.abs(rung.contributions).sum() + abs(rung.bias[0])
        for at, rung in found.ladder().items()
    }
    at = min(sizes, key=sizes.get)
    where = "the pixels" if at == "input" else f"the paths through the gates of {at}"
    made = found.ladder()[at].contributions[0].sum()
    assert f"; {where} carry {made:+.2f} of it, most of all" in first
    read = Reader(page)
    numbers = read.data["numbers"]["0/DLGN"]
    assert numbers["at"] == "conv_1"
    assert numbers["logit"] == pytest.approx(logits[0] - logits[1], abs=1e-4)
    total = numbers["contributions"] + numbers["bias"] + numbers["skipped"]
    assert total == pytest.approx(numbers["logit"], abs=1e-4)
    shares = re.findall(r"conv_\d: its [\d,]+ gates make", page)
    assert len(shares) == len(net.sites)
    folded = re.search(r"<details><summary>(.*?)</summary>", page).group(1)
    assert re.fullmatch(r"Top paths: the 8 largest carry \S+ % of the logit", folded)


def test_the_page_needs_no_network_and_every_picture_has_words(page):
    *_, path = page
    read = Reader(path.read_text())
    assert all(address.startswith("data:") for address in read.addresses)
    assert len(read.images) > 10
    assert all(len(image["alt"]) > 10 for image in read.images)
    first = read.images[0]["src"].split(",")[1]
    assert Image.open(io.BytesIO(base64.b64decode(first))).size == (8, 8)


def test_names_are_text_and_no_markup(page):
    *_, path = page
    assert "<b>cat" not in path.read_text()
    assert path.read_text().count("</script>") == 2


def test_a_dnns_filters_are_called_local(rng, tmp_path):
    x = rng.uniform(size=(1, 8, 8, 3))
    of_dnn = interpret.report(build("dnn"), x, tmp_path / "a.html").read_text()
    of_dlgn = interpret.report(build("dlgn"), x, tmp_path / "b.html").read_text()
    assert "Local filters of the gates" in of_dnn
    assert "Filters of the gates" in of_dlgn
    assert "Local filter" not in of_dlgn


def test_the_command_writes_the_page_with_the_presets_dnn_beside(tmp_path, capsys):
    path, _ = saved(tmp_path, "L")
    out = tmp_path / "page.html"
    main(["explain", "dlgn_fc_digits", str(path), "--out", str(out), "--json"])
    told = json.loads(capsys.readouterr().out)["images"][0]
    net = dk.from_preset("dlgn_fc_digits")
    raw = interpret.load_image(path, net).raw[None]
    found = interpret.explain(net, raw)
    assert told["target"] == found.target[0]
    np.testing.assert_allclose(told["logits"], found.logits[0], rtol=1e-5)
    numbers = Reader(out.read_text()).data["numbers"]
    logit = numbers["0/DLGN"]["logit"]
    assert logit == pytest.approx(found.logits[0].max(), rel=1e-5)
    twin = interpret.explain(dk.from_preset("dnn_fc_digits"), raw, found.target)
    assert numbers["0/DNN"]["contributions"] == pytest.approx(
        twin.contributions.sum(), abs=1e-4
    )
    main(["explain", "dlgn_fc_digits", str(path), "--out", str(out), "--twin", "none"])
    assert set(Reader(out.read_text()).data["numbers"]) == NUMBERS
    assert main(["explain", "dlgn_fc_digits", str(tmp_path / "no.png")]) == 2
    assert "No image file" in capsys.readouterr().err


def test_the_command_calls_the_classes_by_the_data_sets_names(tmp_path):
    path, _ = saved(tmp_path, "RGB")
    net = dk.DLGN(dk.skeletons.c4gap(4, depth=2), (8, 8, 3), 10)
    folder = net.save_to_preset(tmp_path / "mine")
    seal(folder, {**read_metadata(folder), "data": {"name": "cifar10"}})
    command = ["explain", str(folder), str(path), "--out", str(tmp_path / "page.html")]
    assert main(command) == 0
    page = (tmp_path / "page.html").read_text()
    assert all(name in page for name in dk.data.class_names("cifar10"))
    assert main([*command, "--classes", ",".join("abcdefghij")]) == 0
    assert "airplane" not in (tmp_path / "page.html").read_text()


def test_names_are_those_of_what_a_model_was_trained_on(tmp_path):
    run = str(tmp_path / "run")
    recipe = dk.training.Recipe("dlgn", "fc:depth=1,width=4", epochs=1, num_train=100)
    dk.training.fit(recipe, run, progress=False)
    net = load_model(run)
    assert net.about["class_names"] == list("0123456789")
    net.save(tmp_path / "net.keras")
    again = load_model(str(tmp_path / "net.keras"))
    assert again.about["class_names"] == list("0123456789")
    other = dk.from_preset("dlgn_fc_digits", num_classes=3)
    assert "class_names" not in other.about
    assert other.class_names == ("0", "1", "2")


def test_a_broken_run_leaves_no_page(rng, tmp_path, monkeypatch):
    module = sys.modules[interpret.report.__module__]
    monkeypatch.setattr(module, "render", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        interpret.report(
            build("dnn"), rng.uniform(size=(1, 8, 8, 3)), tmp_path / "p.html"
        )
    assert list(tmp_path.iterdir()) == []


def chromium(path, folder, *options):
    found = shutil.which("chromium") or shutil.which("google-chrome")
    assert found, "Chromium is needed: apt-get install chromium"
    quiet = "gpu quic background-networking component-update sync".split()
    command = [found, "--headless", "--no-sandbox", "--no-first-run"]
    command += [f"--disable-{word}" for word in quiet]
    command += [f"--user-data-dir={folder}", "--enable-logging=stderr", *options]
    return subprocess.run(
        [*command, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )


@pytest.mark.browser
def test_chromium_runs_the_page_without_an_error(page, tmp_path):
    net, _, x, path = page
    probe = path.with_name("probe.html")
    script = """<script>
      const heads = [...document.querySelectorAll("th button")];
      heads[1].click(); heads[1].click();
      const body = document.querySelector("tbody");
      const cells = [...body.rows].map(r => r.children[1].dataset.value);
      const image = document.querySelector("[data-map] img");
      image.focus();
      image.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowUp"}));
      const value = image.parentNode.querySelector(".value").textContent;
      document.body.insertAdjacentHTML("beforeend",
        `<pre id="probe">${JSON.stringify({cells, value,
          wide: document.documentElement.scrollWidth})}</pre>`);
    </script></body>"""
    probe.write_text(path.read_text().replace("</body>", script))
    run = chromium(probe, tmp_path / "user", "--window-size=500,900", "--dump-dom")
    assert 'data-ready="yes"' in run.stdout
    assert "CONSOLE" not in run.stderr
    told = json.loads(re.search(r'<pre id="probe">(.*?)</pre>', run.stdout).group(1))
    cells = [float(cell) for cell in told["cells"]]
    assert cells == sorted(cells)
    shown = interpret.explain(net, x[:1]).contributions[0].sum(-1)[3, 4]
    assert told["value"].startswith("row 3, column 4: ")
    assert float(told["value"].split(": ")[1]) == pytest.approx(shown, rel=1e-3)
    assert told["wide"] <= 500


@pytest.mark.browser
def test_chromium_would_report_an_error(page, tmp_path):
    *_, path = page
    broken = path.with_name("broken.html")
    broken.write_text(path.read_text().replace("const data =", "const date ="))
    run = chromium(broken, tmp_path / "user", "--dump-dom")
    assert "CONSOLE" in run.stderr
    assert 'data-ready="yes"' not in run.stdout


def saved(folder, mode, size=(8, 8), **options):
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture = Image.fromarray(values)
    if mode == "I;16":
        picture = Image.fromarray(values[..., 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        picture = picture.convert(mode)
    path = folder / f"{mode.replace(';', '')}.png"
    picture.save(path, **options)
    return path, values


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "LA", "1", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_mode_becomes_an_input(tmp_path, mode, channels):
    net = build("dnn", channels)
    path, _ = saved(tmp_path, mode, (13, 9))
    loaded = interpret.load_image(path, net)
    assert loaded.raw.shape == (8, 8, channels)
    assert 0 <= loaded.raw.min() < 100 < loaded.raw.max() <= 255
    assert "from 13 x 9 to 8 x 8" in loaded.notes[-1]


def test_a_picture_of_the_right_kind_is_taken_as_it_is(tmp_path):
    path, values = saved(tmp_path, "RGB")
    loaded = interpret.load_image(path, build("dnn"))
    assert loaded.notes == ()
    np.testing.assert_array_equal(loaded.raw, values)


def test_pixels_are_scaled_to_the_raw_range(tmp_path):
    net = build("dnn", preprocessing=Preprocessing(raw_range=(-1, 1)))
    path, values = saved(tmp_path, "RGB")
    raw = interpret.load_image(path, net).raw
    np.testing.assert_allclose(raw, values / 127.5 - 1, atol=1e-6)


def test_transparency_is_laid_on_white(tmp_path):
    rgba = np.zeros((8, 8, 4), np.uint8)
    rgba[:4, :, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "a.png")
    raw = interpret.load_image(tmp_path / "a.png", build("dnn")).raw
    assert raw[:4].max() == 0
    assert raw[4:].min() == 255


def test_exif_rotation_is_undone(tmp_path):
    _, values = saved(tmp_path, "RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to look at it
    Image.fromarray(values).save(tmp_path / "turned.png", exif=exif)
    loaded = interpret.load_image(tmp_path / "turned.png", build("dnn"))
    np.testing.assert_array_equal(loaded.raw, np.rot90(values, -1))
    assert "EXIF" in loaded.notes[0]


def test_a_file_that_is_no_image_is_refused(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(ValueError, match="Pillow cannot read"):
        interpret.load_image(tmp_path / "a.png", build("dnn"))
    path, _ = saved(tmp_path, "RGB")
    (tmp_path / "half.png").write_bytes(path.read_bytes()[:120])
    with pytest.raises(ValueError, match="cannot be read"):
        interpret.load_image(tmp_path / "half.png", build("dnn"))
    with pytest.raises(FileNotFoundError, match="No image file"):
        interpret.load_image(tmp_path / "none.png", build("dnn"))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"images": []}, ValueError, "must hold an image"),
        ({"images": [np.ones((4, 4, 3))]}, ValueError, "arrays of shape"),
        ({"class_names": ["one"]}, ValueError, "2 names"),
        ({"twin": 3}, TypeError, "must be a"),
        ({"out": "/nowhere/page.html"}, FileNotFoundError, "No folder"),
    ],
)
def test_bad_arguments_are_refused(tmp_path, arguments, error, message):
    given = {"images": [np.ones((8, 8, 3))], "out": tmp_path / "p.html"} | arguments
    with pytest.raises(error, match=message):
        interpret.report(build("dnn"), **given)


def test_the_page_of_a_keras_models_twin_has_no_paths_and_the_top_gates(rng, tmp_path):
    twin = dk.disentangle(foreign.build("everything"))
    x = rng.uniform(size=(1, *twin.input_shape[1:]))
    out = interpret.report(twin, x, tmp_path / "page.html", twin=twin)
    page = out.read_text("utf-8")
    assert "Paths are followed on a skeleton" in page
    assert "Local filters of the gates with the largest contributions" in page
    read, found = Reader(page), interpret.explain(twin, x)
    assert set(read.data["numbers"]) == {"0/DGN", "0/twin DGN", "0/bias"}
    numbers = read.data["numbers"]["0/DGN"]
    assert numbers["logit"] == pytest.approx(found.logits.max(), rel=1e-5)
    made = interpret.gate_contributions(twin, x)
    # Poolings select within windows: their gates have no filter of their own.
    made = {site: made[site] for site in made if site not in ("pool", "global")}
    made.pop("conv_relu6_saturated")
    largest = max(made, key=lambda site: np.abs(made[site]).max())
    unit = np.unravel_index(np.abs(made[largest][0]).argmax(), made[largest].shape[1:])
    shown = [im["alt"] for im in read.images if im["alt"].startswith("Local filter")]
    name = f"gate {largest} {','.join(map(str, unit))}:"
    assert any(name in alt for alt in shown)


def test_the_page_prints_the_residual_and_what_it_means(tmp_path):
    twin = dk.disentangle(foreign.cancelling((1, 2, 1)))
    for value, told in ((1.0, False), (1e4, True)):
        x = np.array([value, 6.0], "float32").reshape(1, 1, 2, 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore" if told else "error", UserWarning)
            page = interpret.report(twin, x, tmp_path / "page.html", target=0)
        text = page.read_text("utf-8")
        assert "but for a residual of" in text
        assert ("rounding shows" in text) == told
        residual = Reader(text).data["numbers"]["0/DGN"]["residual"]
        assert residual == (2.0 if told else 0.0)
