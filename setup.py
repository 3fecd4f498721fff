"""The one build step pyproject.toml cannot say: zoo/ is installed in the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ZOO = Path("zoo")
# The files of a preset folder; the scripts that make them stay in the checkout.
FILES = ("*/*.json", "*/*.md", "*/*.h5", "*/*.npz", "*/*.png", "index.json", "*.md")


class BuildWithZoo(build_py):
    """Build the package with a copy of zoo/; an editable install reads the checkout."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.rmtree(self._target(), ignore_errors=True)
            for source, target in self._zoo():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        copies = [] if self.editable_mode else self._zoo()
        return [*super().get_outputs(include_bytecode), *(str(t) for _, t in copies)]

    def _target(self) -> Path:
        return Path(self.build_lib) / "dlgn_keras" / "zoo"

    def _zoo(self) -> list[tuple[Path, Path]]:
        found = [path for form in FILES for path in sorted(ZOO.glob(form))]
        return [(path, self._target() / path.relative_to(ZOO)) for path in found]


setup(cmdclass={"build_py": BuildWithZoo})
