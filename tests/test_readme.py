"""What the front page shows runs as shown."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in BLOCKS:
        exec(compile(block, str(README), "exec"), names)
    assert names["V"].shape == (64, 64)
    assert len(names["gates"]) == 4
    assert (tmp_path / "dlgn.keras").is_file()


def test_every_command_it_shows_is_a_command():
    from dlgn_keras.cli import COMMANDS

    shown = set(re.findall(r"dlgn-keras (\w+)", README.read_text()))
    assert len(shown) >= 3
    assert shown <= set(COMMANDS)
