"""Presets: trained models in folders, found, checked, loaded, saved, pushed."""

from dlgn_keras.presets.catalogue import Preset, PresetTable, presets
from dlgn_keras.presets.find import find, zoo_folders
from dlgn_keras.presets.load import from_preset
from dlgn_keras.presets.push import Pushed, push
from dlgn_keras.presets.save import save_to_preset
from dlgn_keras.presets.verify import Verification, verify

__all__ = [
    "Preset",
    "PresetTable",
    "Pushed",
    "Verification",
    "find",
    "from_preset",
    "presets",
    "push",
    "save_to_preset",
    "verify",
    "zoo_folders",
]
