"""What settings have in common: kinds that other packages add."""

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import ClassVar

import pytest

from uvim_fsq import fields
from uvim_fsq.errors import ConfigError


@dataclass(frozen=True)
class Ours:
    kind: ClassVar[str] = "ours"


@dataclass(frozen=True)
class Theirs:
    kind: ClassVar[str] = "theirs"


@dataclass(frozen=True)
class Impostor:
    kind: ClassVar[str] = "ours"


class NoSettings:
    kind = "theirs"


@pytest.fixture
def installed(monkeypatch):
    """`installed("Theirs")`: a package adds that class of this file, or what else is named."""

    def add(name, module=__name__):
        point = EntryPoint("x", f"{module}:{name}", "group")
        monkeypatch.setattr(fields, "entry_points", lambda group: [point])

    return add


def test_a_kind_from_another_package(installed):
    installed("Theirs")
    assert fields.kinds_of("group", Ours) == {"ours": Ours, "theirs": Theirs}


@pytest.mark.parametrize(
    ("name", "module", "message"),
    [
        ("X", "a_package_that_lacks", "cannot be used: No module named .*mend or"),
        ("Missing", __name__, "cannot be used: .*Missing"),
        ("NoSettings", __name__, "must be a dataclass with a class attribute `kind`"),
        ("Impostor", __name__, "two packages add 'ours' to group"),
    ],
)
def test_what_a_package_may_not_add(installed, name, module, message):
    installed(name, module)
    with pytest.raises(ConfigError, match=message):
        fields.kinds_of("group", Ours)
