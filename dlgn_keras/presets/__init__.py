"""Presets: trained models in folders. Find, check, load, save, verify and push them."""

import sys
from types import ModuleType

from dlgn_keras.presets.find import Preset, PresetTable, find, presets, zoo_folders
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


class _Callable(ModuleType):
    """A module that can be called: `dk.presets()` is `dk.presets.presets()`."""

    def __call__(self, **wanted: str) -> PresetTable:
        return presets(**wanted)


sys.modules[__name__].__class__ = _Callable
