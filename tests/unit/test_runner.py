# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner: in which order it asks, what it never does, and what a user gets when something fails."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest import mock

import pytest

from ansible_collections.mainline.vps.plugins.module_utils import runner
from ansible_collections.mainline.vps.plugins.module_utils.core.errors import VpsError
from ansible_collections.mainline.vps.plugins.module_utils.core.plan import Change, Plan

PARAMS = {"name": "x", "want": 2, "lock_timeout": 5}


@dataclass
class Wish:
    """A number that a thing of a name shall have."""

    name: str
    want: int


class Thing:
    """A node that holds one number, and writes down what it is asked."""

    def __init__(self, number: int = 1, *, stubborn: bool = False) -> None:
        self.number, self.stubborn = number, stubborn
        self.asked: list[str] = []
        self.warnings: list[str] = []

    def require_usable(self) -> None:
        self.asked.append("usable?")

    @contextmanager
    def lock(self, kind, name, *, timeout):
        self.asked.append(f"lock {kind} {name} {timeout}")
        yield
        self.asked.append("unlock")

    def sweep(self):
        self.asked.append("sweep")
        return self.warnings

    def apply(self, plan):
        self.asked.append("apply")
        if not self.stubborn:
            self.number = plan.steps[0]
        return {"note": "applied"}


def _read(node, _wish):
    node.asked.append("read")
    return node.number


def _compare(wish, number):
    return Plan() if wish.want == number else Plan((Change("number", number, wish.want, "restart"),), (wish.want,), True)


SUBJECT = runner.Subject(
    lock="thing",
    parse=lambda params: Wish(params["name"], params["want"]),
    read=_read,
    compare=_compare,
    result=lambda node, wish, actual: {"thing": actual},
)


def test_a_change_is_read_applied_and_read_again_under_its_lock():
    node = Thing(1)
    result = runner.reconcile(SUBJECT, PARAMS, node, check=False)
    assert node.asked == ["usable?", "lock thing x 5", "sweep", "read", "apply", "read", "unlock"]
    assert result == {
        "changed": True,
        "diff": {"before": {"number": 1}, "after": {"number": 2}},
        "changes": [{"option": "number", "before": 1, "after": 2, "effect": "restart"}],
        "restart_required": True,
        "note": "applied",
        "thing": 2,
    }


def test_check_mode_reads_once_and_neither_locks_nor_applies():
    node = Thing(1)
    result = runner.reconcile(SUBJECT, PARAMS, node, check=True)
    assert node.asked == ["usable?", "read"]
    assert (result["changed"], result["thing"], result["diff"]["after"]) == (True, 1, {"number": 2})


@pytest.mark.parametrize("check", [True, False])
def test_what_is_as_asked_is_swept_and_read_once_and_not_applied(check):
    node = Thing(2)
    result = runner.reconcile(SUBJECT, PARAMS, node, check=check)
    assert node.asked == (["usable?", "read"] if check else ["usable?", "lock thing x 5", "sweep", "read", "unlock"])
    assert node.number == 2
    assert (result["changed"], result["changes"], result["diff"]) == (False, [], {"before": {}, "after": {}})


def test_what_cannot_be_swept_is_a_warning():
    node = Thing(2)
    node.warnings = ["What a killed run left cannot be removed yet."]
    assert runner.reconcile(SUBJECT, PARAMS, node, check=False)["warnings"] == node.warnings


def test_steps_without_a_change_are_carried_out_and_change_nothing():
    subject = replace(SUBJECT, compare=lambda wish, number: Plan((), (wish.want,)))
    node = Thing(1)
    assert not runner.reconcile(subject, PARAMS, node, check=False)["changed"]
    assert node.asked.count("apply") == 1


def test_what_does_not_hold_when_it_is_read_again_is_an_error_with_all_that_is_left():
    with pytest.raises(VpsError, match="^number: it was applied, but read again it does not hold: number is 1 and not 2") as caught:
        runner.reconcile(SUBJECT, PARAMS, Thing(1, stubborn=True), check=False)
    assert caught.value.details == {"changes": [{"option": "number", "before": 1, "after": 2, "effect": "restart"}]}


def test_a_wish_is_held_against_what_is_left_of_it_once_it_is_granted():
    subject = replace(SUBJECT, settled=lambda wish: Wish(wish.name, 7))
    with pytest.raises(VpsError, match="number is 2 and not 7"):
        runner.reconcile(subject, PARAMS, Thing(1), check=False)


def test_a_mistake_in_the_parameters_is_found_before_the_node_is_asked():
    node = Thing()
    with pytest.raises(KeyError):
        runner.reconcile(SUBJECT, {"lock_timeout": 1}, node, check=False)
    assert node.asked == []


def test_a_node_that_is_none_is_not_locked():
    node = Thing()
    node.require_usable = mock.Mock(side_effect=VpsError("node: is none."))
    with pytest.raises(VpsError):
        runner.reconcile(SUBJECT, PARAMS, node, check=False)
    assert node.asked == []


@pytest.mark.parametrize("seconds", [-1, 86401])
def test_nobody_waits_for_a_lock_longer_than_a_day_or_less_than_not_at_all(seconds):
    node = Thing()
    with pytest.raises(VpsError, match="^lock_timeout: "):
        runner.reconcile(SUBJECT, {**PARAMS, "lock_timeout": seconds}, node, check=True)
    assert node.asked == []


class Exited(Exception):
    """AnsibleModule's exit_json and fail_json end the process."""


@pytest.fixture
def module():
    """An AnsibleModule that was given PARAMS."""
    with mock.patch.object(runner, "AnsibleModule") as made:
        made.return_value.params = PARAMS
        made.return_value.check_mode = False
        made.return_value.exit_json.side_effect = made.return_value.fail_json.side_effect = Exited
        yield made


def run(subject, node):
    """A module's main() with this node."""
    with pytest.raises(Exited):
        runner.run(replace(subject, make_node=lambda: node), {"name": {}})


def test_a_module_exits_with_its_result(module):
    run(SUBJECT, Thing(1))
    told = module.return_value.exit_json.call_args.kwargs
    assert (told["changed"], told["thing"]) == (True, 2)
    module.return_value.fail_json.assert_not_called()


def test_a_module_in_check_mode_runs_in_check_mode(module):
    module.return_value.check_mode = True
    node = Thing(1)
    run(SUBJECT, node)
    assert "apply" not in node.asked


def test_an_error_becomes_fail_json_with_its_details(module):
    node = Thing(1)
    node.apply = mock.Mock(side_effect=VpsError("number: no.", console="last words"))
    run(SUBJECT, node)
    module.return_value.fail_json.assert_called_once_with(msg="number: no.", console="last words")
    module.return_value.exit_json.assert_not_called()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device", "/pool/x"), "pool: No space left on device (/pool/x); enlarge the pool or remove a VPS."),
        (OSError(5, "Input/output error"), "node: the kernel refused: Input/output error; see its log."),
    ],
)
def test_what_the_kernel_refuses_is_told_in_a_sentence_too(module, error, told):
    node = Thing(1)
    node.apply = mock.Mock(side_effect=error)
    run(SUBJECT, node)
    module.return_value.fail_json.assert_called_once_with(msg=told)


def test_a_node_that_cannot_even_be_made_is_an_error_of_ours_too(module):
    with pytest.raises(Exited):
        runner.run(replace(SUBJECT, make_node=mock.Mock(side_effect=VpsError("node: is none."))), {})
    module.return_value.fail_json.assert_called_once_with(msg="node: is none.")


def test_every_module_has_a_lock_timeout_and_check_mode(module):
    run(SUBJECT, Thing(1))
    assert module.call_args.kwargs["supports_check_mode"] is True
    assert module.call_args.kwargs["argument_spec"] == {"name": {}, "lock_timeout": {"type": "int", "default": 120}}


def test_a_module_that_only_reads_says_that_it_changed_nothing(module):
    with mock.patch("ansible_collections.mainline.vps.plugins.module_utils.node.node.Node"), pytest.raises(Exited):
        runner.run_info(lambda node, params: {"names": [params["name"]]}, {"name": {}})
    module.return_value.exit_json.assert_called_once_with(changed=False, names=["x"])
