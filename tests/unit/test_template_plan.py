# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A template's plan, and what makes two templates the same."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.mainline.vps.plugins.module_utils.core import template
from ansible_collections.mainline.vps.plugins.module_utils.core.model import Manifest, Template
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import BuildTemplate, Change, Plan, RemoveTemplate
from ansible_collections.mainline.vps.plugins.module_utils.core.template import Desired, TemplateActual
from ansible_collections.mainline.vps.tests.unit.reading import sentence

DEBIAN = Template("t", "debian", "bookworm", ("nginx",))
WISH = Desired("t", "present", DEBIAN)
GONE = Desired("t", "absent", None)


def there(made_from=DEBIAN, **more) -> TemplateActual:
    """A template that was made from this."""
    return TemplateActual(Manifest(made_from, "systemd", template.checksum(made_from), 1, "2026-01-01T00:00:00+00:00"), **more)


def parsed(**params) -> Desired:
    """A task about the template `t`."""
    return template.parse_template({"name": "t", "state": "present", **params})


def test_a_template_that_is_not_there_is_built():
    plan = template.compare(Desired("t", "present", Template("t", "minimal")), TemplateActual())
    assert plan == Plan((Change("state", "absent", "present"), Change("source", None, "minimal")), (BuildTemplate(Template("t", "minimal")),))


def test_a_template_of_the_same_inputs_is_left_alone():
    assert template.compare(WISH, there()) == Plan()
    assert template.compare(WISH, there(used_by=("web",), missing_tool="no mmdebstrap")) == Plan()
    assert template.compare(GONE, TemplateActual()) == Plan()


@pytest.mark.parametrize(
    ("wanted", "change"),
    [
        (replace(DEBIAN, suite="trixie"), Change("suite", "bookworm", "trixie")),
        (replace(DEBIAN, packages=("bash",)), Change("packages", ["nginx"], ["bash"])),
        (replace(DEBIAN, packages=()), Change("packages", ["nginx"], None)),
        (replace(DEBIAN, mirror="http://mirror.example.org"), Change("mirror", None, "http://mirror.example.org")),
    ],
)
def test_a_template_of_other_inputs_is_built_again_and_the_difference_told(wanted, change):
    assert template.compare(Desired("t", "present", wanted), there()) == Plan((change,), (BuildTemplate(wanted),))


def test_a_template_can_become_one_of_another_source():
    plan = template.compare(Desired("t", "present", Template("t", "minimal")), there())
    assert {change.option: change.after for change in plan.changes} == {"source": "minimal", "suite": None, "packages": None}


def test_a_template_of_an_older_recipe_is_built_again(monkeypatch):
    old = there()
    monkeypatch.setitem(template.RECIPES, "debian", 99)
    assert template.compare(WISH, old) == Plan((Change("recipe", "of an older release", 99),), (BuildTemplate(DEBIAN),))


def test_a_template_is_removed_when_nobody_uses_it():
    assert template.compare(GONE, there()) == Plan((Change("state", "present", "absent"),), (RemoveTemplate("t"),))
    assert "in use by web1, web2; remove those VPSs first" in sentence(lambda: template.compare(GONE, there(used_by=("web1", "web2"))), "name")


def test_a_missing_builder_is_told_where_something_is_to_be_built():
    for actual in (TemplateActual(missing_tool="no mmdebstrap."), there(replace(DEBIAN, suite="sid"), missing_tool="no mmdebstrap.")):
        assert "no mmdebstrap" in sentence(lambda actual=actual: template.compare(WISH, actual), "source")


def test_a_missing_input_is_told_with_its_option_where_something_is_to_be_built():
    missing = "path: there is no /a.tar on the node."
    assert missing == sentence(lambda: template.compare(WISH, TemplateActual(missing_input=missing)), "path")
    assert template.compare(WISH, there(missing_input=missing)) == Plan()


def test_the_checksum_is_of_the_inputs_and_not_of_the_name():
    assert template.checksum(DEBIAN) == template.checksum(replace(DEBIAN, name="other"))
    others = [replace(DEBIAN, suite="sid"), replace(DEBIAN, packages=()), replace(DEBIAN, mirror="http://m"), Template("t", "minimal")]
    assert len({template.checksum(each) for each in (DEBIAN, *others)}) == 5


def test_packages_are_a_set():
    assert parsed(source="debian", packages=["vim", "bash", "vim"]) == parsed(source="debian", packages=["bash", "vim"])


def test_an_empty_option_is_one_that_was_not_given():
    assert parsed(source="debian", suite="", packages=[], mirror="") == parsed(source="debian")
    assert parsed(source="debian").template.suite == "bookworm"
    assert parsed(state="absent", source="debian", suite="no such thing").template is None


@pytest.mark.parametrize(
    ("option", "params"),
    [
        ("source", {}),
        ("suite", {"source": "minimal", "suite": "bookworm"}),
        ("packages", {"source": "minimal", "packages": ["nginx"]}),
        ("mirror", {"source": "minimal", "mirror": "http://mirror.example.org"}),
        ("suite", {"source": "debian", "suite": "Bookworm"}),
        ("suite", {"source": "debian", "suite": "--help"}),
        ("suite", {"source": "debian", "suite": "book\nworm"}),
        ("suite", {"source": "debian", "suite": "../" + "x" * 500}),
        ("packages", {"source": "debian", "packages": ["nginx", "--option=x"]}),
        ("packages", {"source": "debian", "packages": ["a b"]}),
        ("packages", {"source": "debian", "packages": ["nginx,bash"]}),
        ("packages", {"source": "debian", "packages": [""]}),
        ("packages", {"source": "debian", "packages": ["x" * 500 + "\n"]}),
        ("mirror", {"source": "debian", "mirror": "mirror.example.org"}),
        ("mirror", {"source": "debian", "mirror": "http://m main\ndeb http://evil"}),
        ("mirror", {"source": "debian", "mirror": "http://m [trusted=yes]"}),
        ("name", {"name": "a/b", "source": "minimal"}),
    ],
)
def test_a_template_may_not_be_asked_for_like_this(option, params):
    sentence(lambda: parsed(**params), option)
