"""The live page: a site that runs presets in the browser and takes them apart."""

from dlgn_keras.interpret.live.build import live_page

__all__ = ["live_page"]
