"""Files of the tools do not go through links that were put where they are written."""

from __future__ import annotations

import itertools
from pathlib import Path

from db_pool_rs.tools._files import copy_beside, write_file


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "report.md"
    victim.write_text("precious")
    path.symlink_to(victim)
    write_file(path, "report")
    assert (victim.read_text(), path.read_text(), path.is_symlink()) == ("precious", "report", False)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["report.md", "victim"]


def test_the_mode_of_a_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "report.md"
    path.write_text("old")
    path.chmod(0o640)
    write_file(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)


def test_a_copy_takes_a_name_at_which_there_is_nothing(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "config.yaml", tmp_path / "elsewhere"
    path.write_text("a: 1")
    path.chmod(0o600)
    (tmp_path / "config.yaml.1").symlink_to(elsewhere)  # it leads nowhere yet
    (tmp_path / "config.yaml.2").write_text("an older copy")
    copy = copy_beside(path, (tmp_path / f"config.yaml.{number}" for number in itertools.count(1)))
    assert (copy.name, copy.read_text(), copy.stat().st_mode & 0o777) == ("config.yaml.3", "a: 1", 0o600)
    assert not elsewhere.exists()
