"""Data sets: named ones, your own files, and labels of oblique decision trees."""

from dlgn_keras.data.checks import check_arrays, check_numbers
from dlgn_keras.data.dataset import Dataset
from dlgn_keras.data.discs import DiscData, discs
from dlgn_keras.data.given import given
from dlgn_keras.data.ground_truth import GroundTruth, with_null_blocks, xai_tris
from dlgn_keras.data.loading import NAMES, class_names, load
from dlgn_keras.data.oblique import (
    ObliqueData,
    ObliqueDataset,
    oblique_dataset,
    sample_oblique_tree,
)
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.data.stored import Stored
from dlgn_keras.data.trees import ObliqueTree

__all__ = [
    "NAMES",
    "Dataset",
    "DiscData",
    "GroundTruth",
    "ObliqueData",
    "ObliqueDataset",
    "ObliqueTree",
    "Preprocessing",
    "Stored",
    "check_arrays",
    "check_numbers",
    "class_names",
    "discs",
    "given",
    "load",
    "oblique_dataset",
    "sample_oblique_tree",
    "with_null_blocks",
    "xai_tris",
]
