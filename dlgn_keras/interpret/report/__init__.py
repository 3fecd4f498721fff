"""The self-contained HTML report."""

from dlgn_keras.interpret.report.images import LoadedImage, load_image
from dlgn_keras.interpret.report.report import report

__all__ = ["LoadedImage", "load_image", "report"]
