"""Builds the extension modules; everything else about this distribution is in pyproject.toml."""

import gzip
import os
import sys
import tarfile
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.sdist import sdist

sys.path.insert(0, str(Path(__file__).parent))  # setuptools as a build backend leaves it out

from build_kernel import FLAGS, LINK, SANITIZE


class Sdist(sdist):
    """An archive that is the same whenever it is made, if SOURCE_DATE_EPOCH says of when its files are."""

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        """Write the .tar.gz: names in order, no owner, one time for all."""
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if format != "gztar" or epoch is None:
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)

        def plain(member):
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mtime = int(epoch)
            return member

        target = Path(f"{base_name}.tar.gz")
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(root_dir or ".") / base_dir
        with (
            target.open("wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=int(epoch)) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            for path in (folder, *sorted(folder.rglob("*"))):
                name = path.relative_to(folder.parent).as_posix()
                archive.add(path, name, recursive=False, filter=plain)
        return str(target)


flags = {"extra_compile_args": [*FLAGS, *SANITIZE], "extra_link_args": [*LINK, *SANITIZE]}
rows = Extension(
    "db_pool_rs_balanced._rows", sources=["src/rows.c"], depends=["src/block.h", "src/imported.h"], **flags
)
answers = Extension("db_pool_rs_balanced._answers", sources=["src/answers.c"], depends=["src/imported.h"], **flags)
setup(
    cffi_modules=["build_kernel.py:ffibuilder"],
    cmdclass={"sdist": Sdist},
    ext_modules=[rows, answers],
    options={"build_ext": {"force": True}},  # what an earlier build left behind may have been made with other flags
)
