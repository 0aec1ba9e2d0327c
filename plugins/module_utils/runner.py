# Copyright (c) 2026, mainline.vps contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The path of a module about one thing: parse, read, compare, apply, read again; and short ones for what is done anew each time, or only read.

The path of vps_fleet, about many things at once, is fleet_subject.reconcile; it starts and ends here as well. Nothing else of module_utils knows
AnsibleModule, asks it for check mode or calls fail_json; of the modules vps_kept does, which is none itself and becomes one. It decides nothing: what
is different is the plan's word, what is done is the node's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from errno import ENOSPC
from typing import Any, NoReturn

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.validation import check_type_dict

from .core.errors import VpsError, printable, shown
from .core.parse import parse_seconds
from .core.plan import Plan, list_changes


@dataclass(frozen=True)
class Subject:
    """What a module is about: four functions around one kind of thing.

    parse(params) gives the wish; read(node, wish) the thing as it is; compare(wish, actual) the plan;
    result(node, wish, actual) what the module returns of it; settled(wish) the wish as it stands once granted;
    make_node() what is read and changed, where it is not the node that the role has made. `section` is what the module's options
    are in the thing's: an error says the option as the task has it.
    """

    lock: str
    parse: Callable[[Mapping[str, Any]], Any]
    read: Callable[[Any, Any], Any]
    compare: Callable[[Any, Any], Plan]
    result: Callable[[Any, Any, Any], dict]
    settled: Callable[[Any], Any] = lambda desired: desired
    make_node: Callable[[], Any] | None = None
    section: str = ""


def reconcile(subject: Subject, params: Mapping[str, Any], node: Any, *, check: bool) -> dict:
    """Make one thing as asked, or in check mode say what would be done; the module's result as plain data."""
    desired = subject.parse(params)
    patience = parse_seconds(params["lock_timeout"], option="lock_timeout")
    node.require_usable()
    with nullcontext() if check else node.lock(subject.lock, desired.name, timeout=patience):
        # First, so that nothing is refused because of what a killed run left.
        warnings = [] if check else node.sweep()
        actual = subject.read(node, desired)
        plan = subject.compare(desired, actual)
        notes = dict(node.apply(plan)) if plan.steps and not check else {}
        warnings = [*warnings, *notes.pop("warnings", ())]
        if plan.changed and not check:
            actual = subject.read(node, desired)
            _verify(subject, desired, actual)
    return {
        "changed": plan.changed,
        "diff": plan.diff(),
        "changes": list_changes(plan.changes),
        "restart_required": plan.restart_required,
        **({"warnings": [*warnings, *plan.warnings]} if warnings or plan.warnings else {}),
        **notes,
        **subject.result(node, desired, actual),
    }


def _verify(subject: Subject, desired: Any, actual: Any) -> None:
    """Nothing may be left to do. What is left is what the kernel, or somebody else, did not let stand."""
    left = subject.compare(subject.settled(desired), actual).changes
    if left:
        told = "; ".join(f"{change.option} is {change.before!r} and not {change.after!r}" for change in left)
        raise VpsError(f"{left[0].option}: it was applied, but read again it does not hold: {told}.", changes=list_changes(left))


def run(subject: Subject, argument_spec: dict) -> None:
    """A module's whole main()."""
    module = AnsibleModule(
        argument_spec={**argument_spec, "lock_timeout": {"type": "int", "default": 120}}, supports_check_mode=True
    )
    _finish(module, lambda node: reconcile(subject, module.params, node, check=module.check_mode), make_node=subject.make_node, section=subject.section)


@dataclass(frozen=True)
class Action:
    """What a module does anew at each run, unless it finds that there is no need to: four functions.

    parse(params) gives the wish; look(node, wish, patience, writes) what there is, writing nothing in check mode;
    needless(wish, found) a result where there is nothing to do, or None; act(node, wish, found, patience) does it and gives the result. changes(wish)
    says whether anything is otherwise then; foretell(wish, found) what check mode has to tell of it, where that is known before;
    make_node() where it is done, where that is not the node that the role has made; secrets(params) what of the parameters nobody is shown, besides
    those that are secret as a whole.
    """

    parse: Callable[[Mapping[str, Any]], Any]
    look: Callable[[Any, Any, int, bool], Any]
    needless: Callable[[Any, Any], dict | None]
    act: Callable[[Any, Any, Any, int], dict]
    changes: Callable[[Any], bool] = lambda wish: True
    foretell: Callable[[Any, Any], dict] = lambda wish, found: {"skipped": True, "msg": "It would have run, if not in check mode."}
    make_node: Callable[[], Any] | None = None
    secrets: Callable[[Mapping[str, Any]], tuple[str, ...]] = lambda params: ()


def perform(action: Action, params: Mapping[str, Any], node: Any, *, check: bool) -> dict:
    """Do it, or in check mode say that it would be done; the module's result as plain data."""
    wish = action.parse(params)
    patience = parse_seconds(params["lock_timeout"], option="lock_timeout")
    node.require_usable()
    found = action.look(node, wish, patience, not check)
    needless = action.needless(wish, found)
    if needless is not None:
        return {**needless, "changed": False}
    if check:
        return {**action.foretell(wish, found), "changed": action.changes(wish)}
    return {**action.act(node, wish, found, patience), "changed": action.changes(wish)}


def run_action(action: Action, argument_spec: dict) -> None:
    """The main() of such a module."""
    module = AnsibleModule(argument_spec={**argument_spec, "lock_timeout": {"type": "int", "default": 120}}, supports_check_mode=True)
    module.no_log_values.update(action.secrets(module.params))
    _finish(module, lambda node: perform(action, module.params, node, check=module.check_mode), make_node=action.make_node)


class _ListModule(AnsibleModule):
    """Says of mistakes in elements of the option C(vps), and of unknown words in other parts, where they are; Ansible does not."""

    _made = False
    _listed: Any = None  # as the task has it: what is no dictionary is left out of it by the time that it is told

    def _load_params(self) -> None:
        super()._load_params()
        self._listed = self.params.get("vps")

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._made = True

    def fail_json(self, msg: str, **details: Any) -> NoReturn:
        """End as failed."""
        found = [] if self._made else list(misread(self.argument_spec, {**self.params, "vps": self._listed}))
        if found:
            msg, details = found[0], {**details, "refused": found}
        super().fail_json(msg=msg, **details)
        raise AssertionError("which does not return")


def misread(argument_spec: Mapping[str, Any], params: Mapping[str, Any]) -> Iterator[str]:
    """A sentence on each element of C(vps), and each other part of a task, that Ansible takes no words from."""
    from .options import mistake  # where there is one, and not in each task

    for name, option in argument_spec.items():
        if name != "vps" and "options" in option and isinstance(params.get(name), Mapping):
            said = mistake(option["options"], params[name], within=f"{name}.")
            if said is not None:
                yield said
    listed, options = params.get("vps"), argument_spec["vps"]["options"]
    for number, element in enumerate(listed.split(",") if isinstance(listed, str) else listed if isinstance(listed, list) else ()):
        try:
            section = check_type_dict(element)
        except TypeError:
            yield f"vps[{number}]: {shown(element)} is no dictionary; write each VPS as one that has its name, such as {{name: web1}}."
            continue
        said = mistake(options, section)
        if said is None:
            errors = ArgumentSpecValidator(options).validate(_given(section)).error_messages
            said = f"{errors[0].rstrip('.')}." if errors else None
        if said is not None:
            yield f"vps[{number}] ({printable(section.get('name') or 'without a name', 40)}): {said}"


def _given(part: Any) -> Any:
    """A part of a task without what Ansible has put into it, null for each option that was not given."""
    if isinstance(part, Mapping):
        return {name: _given(value) for name, value in part.items() if value is not None}
    return [_given(each) for each in part] if isinstance(part, list) else part


def run_fleet(work: Callable[..., dict], argument_spec: dict) -> None:
    """The main() of the module for many VPSs; `work(params, node, check=…)` gives its result."""
    module = _ListModule(argument_spec={**argument_spec, "lock_timeout": {"type": "int", "default": 120}}, supports_check_mode=True)
    # Ansible sends all parameters back: of a thousand VPSs, what each has not been given would be most of the result.
    sections = [*module.params["vps"], module.params["defaults"] or {}]
    for section in sections:
        for name in [name for name, value in section.items() if value is None]:
            del section[name]

    def make_node() -> Any:
        from .node.fleet import FleetNode

        return FleetNode()

    _finish(module, lambda node: work(module.params, node, check=module.check_mode), make_node=make_node)


def run_info(read: Callable[[Any, Mapping[str, Any]], dict], argument_spec: dict, *, bulky: tuple[str, ...] = ()) -> None:
    """The main() of a module that only reads. `bulky` are lists of its parameters that are as long as what it returns."""
    module = AnsibleModule(argument_spec=argument_spec, supports_check_mode=True)
    params = dict(module.params)
    for name in bulky:  # Ansible sends all parameters back
        if params[name] is not None:
            module.params[name] = f"a list of {len(params[name])}"
    _finish(module, lambda node: {"changed": False, **read(node, params)})


def _finish(
    module: AnsibleModule, work: Callable[[Any], dict], *, make_node: Callable[[], Any] | None = None, section: str = ""
) -> None:
    from .node.node import Node  # not at the top: the pure core and its tests need no node

    os.umask(0o022)  # what a guest's users may read is not for a login's umask on the node to say
    try:
        result = work((make_node or Node)())
    except VpsError as error:
        _warn(module, error.details.pop("warnings", ()))
        module.fail_json(msg=str(error).removeprefix(section), **error.details)
    except OSError as error:
        module.fail_json(msg=kernel_said(error))
    _warn(module, result.pop("warnings", ()))
    module.exit_json(**result)


def _warn(module: AnsibleModule, warnings: Any) -> None:
    for warning in warnings:
        module.warn(warning)


def kernel_said(error: OSError) -> str:
    """What the kernel would not let us do, where no part had more to say about it."""
    what = f"{error.strerror or error}{f' ({error.filename})' if error.filename else ''}"
    if error.errno == ENOSPC and str(error.filename or "").startswith("/etc/"):
        return f"node: {what}; make room on that file system, then run this again."
    if error.errno == ENOSPC:
        return f"pool: {what}; enlarge the pool or remove a VPS."
    return f"node: the kernel refused: {what}; see its log."
