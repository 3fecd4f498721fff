"""The live page: refusals in one line; in Chromium its numbers are the API's."""

import shutil

import numpy as np
import pytest
import tiny
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras.cli import main
from dlgn_keras.interpret.live import live_page
from dlgn_keras.interpret.live import runtime as packed


def test_what_makes_no_page_is_refused_and_nothing_is_written(tmp_path):
    flat, image = tiny.build("dlgn", "fc"), tiny.build("dlgn", "gconv_valid")
    for nets in ({}, {"a": flat}, {"a": image, "b": flat}):
        with pytest.raises(ValueError, match="images of one shape"):
            live_page(nets, tmp_path / "site")
    assert not list(tmp_path.iterdir())


def test_another_runtime_than_the_known_one_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "package.tgz"
    file.write_bytes(b"other")
    with pytest.raises(ValueError, match=r"npm package onnxruntime-web 1.* SHA-256"):
        packed.runtime_script(file)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match="needs npm"):
        packed.runtime_script()


@pytest.mark.only("jax", "torch")
def test_another_backend_is_told_what_works(tmp_path, capsys):
    assert main(["page", "dlgn_fc_digits", "--out", str(tmp_path / "site")]) == 2
    assert "KERAS_BACKEND=tensorflow" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


STROKES = ([90, 70], [190, 70], [130, 220])


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.only("tensorflow")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_drawn_strokes_give_the_numbers_of_the_api(tmp_path, scheme):
    api = pytest.importorskip("playwright.sync_api")
    names = ["dlgn_fc_mnist", "dnn_fc_mnist"]
    nets = {name: dk.from_preset(name) for name in names}
    path = live_page(nets, tmp_path / "site")
    with api.sync_playwright() as player:
        browser = player.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport={"width": 390, "height": 844}, color_scheme=scheme
        )
        said: list[str] = []
        page.on("console", lambda line: said.append(line.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_function("live.runs > 0")
        box = page.locator("#draw").bounding_box()
        points = [(box["x"] + x * box["width"] / 280, box["y"] + y * box["width"] / 280)
                  for x, y in STROKES]  # fmt: skip
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=5)
        page.mouse.up()
        page.wait_for_function("!busy && !again")
        told = page.evaluate(
            "({x: [...live.input], ms: parseInt($('time').textContent.match(/\\d+/)),"
            " found: live.results.map(r => Object.fromEntries(Object.entries(r).map("
            "([k, v]) => [k, v.length ? [...v] : v])))})"
        )
        x = np.array(told["x"], "float32").reshape(1, 28, 28, 1)
        for net, found in zip(nets.values(), told["found"], strict=True):
            expected = net.explain(x)
            assert found["target"] == expected.target[0]
            assert_close(found["logits"], expected.logits[0])
            shown = np.reshape(found["contributions"], expected.contributions[0].shape)
            assert_close(shown, expected.contributions[0])
            made = dk.interpret.gate_contributions(net, x)
            for site, gates in net.gates(x).items():
                # A gate is as steep as beta / 4: it multiplies the rounding of q.
                q = np.abs(net.pre_activations(x)[site]).max()
                steep = net.arguments.get("beta", 4.0) / 4 * 1e-5 * max(q, 1.0)
                assert distance(found[f"gates/{site}"], gates[0].ravel()) < steep
                assert distance(found[f"at/{site}"], made[site][0].ravel()) < steep
        assert told["ms"] < 1000
        gate = page.locator(".gate").first
        _, site, unit = gate.get_attribute("data-gate").split(":")
        gate.focus()
        page.keyboard.press("Enter")
        page.wait_for_function("!busy && !again && live.flips[0]")
        after = page.evaluate("[...live.results[0].logits]")
        net = nets[names[0]]
        gates = net.gates(x)
        gates[site][0, int(unit)] = float(gates[site][0, int(unit)] <= 0.5)
        assert_close(after, tiny.value_forward(net, net.value_inputs(x), gates)[0])
        assert page.locator(".gate[aria-pressed=true]").count() == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        unnamed = "[...document.querySelectorAll('canvas')].filter("
        assert page.evaluate(unnamed + "c => !c.ariaLabel).length") == 0
        assert not said
        browser.close()
