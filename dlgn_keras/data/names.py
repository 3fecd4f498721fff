"""Names of data sets: what a set is called in tables, folders and records."""

from pathlib import PurePath

TFDS = "tfds:"


def short_name(name: str) -> str:
    """Return a data set's own name: without folder, suffix, config and version.

    Example:
        >>> from dlgn_keras.data.names import short_name
        >>> short_name("tfds:imagenette/160px:1.0.0"), short_name("sets/mine.npz")
        ('imagenette', 'mine')
        >>> short_name("photos/")
        'photos'
    """
    if name.startswith(TFDS):
        return name.removeprefix(TFDS).partition(":")[0].partition("/")[0]
    path = PurePath(name)
    return path.stem if path.suffix == ".npz" else path.name or name
