"""The version, in a file of its own: a build reads it without importing Keras."""

__version__ = "0.2.0"
