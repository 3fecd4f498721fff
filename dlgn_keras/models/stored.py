"""How a model goes to a preset folder and comes back."""

from typing import Any

from dlgn_keras.models.readable import Readable


class Stored(Readable):
    """A model that knows presets."""

    @classmethod
    def from_preset(cls, preset: Any, **options: Any) -> Any:
        """Return the model of a preset of this family; see `dk.from_preset`."""
        from dlgn_keras.presets import from_preset  # it imports the models

        return from_preset(preset, family=cls, **options)

    def save_to_preset(self, folder: Any, **options: Any) -> Any:
        """Write the model as a preset folder; see `dlgn_keras.presets`."""
        from dlgn_keras.presets import save_to_preset

        return save_to_preset(self, folder, **options)
