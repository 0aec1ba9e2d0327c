# The project's commands; `make` alone lists them. Needs git, make and Python >= 3.11, and installs the rest into .venv.

PYTHON ?= python3
ARGS ?=
TARGETS ?=
# The Debians that test-node and node-shell boot.
RELEASES ?= bookworm trixie
RELEASE ?= bookworm
# The roles whose Molecule scenarios test-roles runs; all of extensions/molecule without.
ROLES ?=
# The interpreter that integration tests run the modules with: the distribution's own, as on a node.
NODE_PYTHON ?= /usr/bin/python3

LIVE := .build/live/ansible_collections/mainline/vps
RUN := .venv/.installed-run $(LIVE)
TEST := .venv/.installed-test $(LIVE)
NODE := .venv/.installed-node $(TEST)
ROLE := .venv/.installed-roles .build/community/.unpacked $(LIVE)

# Ansible refuses to start in a locale that is not UTF-8.
export LC_ALL := C.UTF-8

# The tools of .venv, and this checkout as the collection mainline.vps.
with_venv = PATH="$(CURDIR)/.venv/bin:$$PATH" ANSIBLE_COLLECTIONS_PATH="$(CURDIR)/.build/live:$(CURDIR)/.build/community"
version_of = $$($(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
SANITY_PYTHON ?= $(call version_of,.venv/bin/python)
playbook = $(with_venv) ANSIBLE_CALLBACK_RESULT_FORMAT=yaml ansible-playbook -i playbooks/inventory/localhost.yml

# Those of the second line run one after the other beside the first line's, which are those that share something: sanity and machine a copy of the checkout,
# machine and roles-short this node, of which the former compares all before and after.
STEPS := sanity machine roles-short
BESIDE := unit types build node-short apart lint docs

.DEFAULT_GOAL := help
.PHONY: help deps deps-test deps-node quickstart quickstart-clean test $(STEPS:%=test-%) $(BESIDE:%=test-%) test-integration test-node test-roles node-shell docs benchmark benchmark-peers benchmark-growth benchmark-density benchmark-molecule clean

help: ## This list
	@echo 'make TARGET [ARGS="more arguments for the tool"] [PYTHON=python3]'
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-18s %s\n' "$$name" "$$text"; done

deps: $(RUN) ## Make .venv with what running the playbooks needs

deps-test: $(TEST) ## Make .venv with what the tests need as well

deps-node: $(NODE) ## Make .venv, and install what boots test machines: QEMU, mmdebstrap

quickstart: $(RUN) ## Turn this machine into a node and start a first VPS on it (not root: ARGS=--ask-become-pass)
	@echo '==> playbooks/quickstart.yml'
	@$(playbook) playbooks/quickstart.yml $(ARGS)

quickstart-clean: $(RUN) ## Undo quickstart, then remove .venv and .build
	@echo '==> playbooks/quickstart-clean.yml'
	@$(playbook) playbooks/quickstart-clean.yml $(ARGS)
	@rm -rf .venv .build

test: $(ROLE) ## All test steps below but test-node, each whatever the others say; as root
	@$(MAKE) --no-print-directory deps-node || : # first: apt serves one at a time, and the steps install packages too
	@MAKE="$(MAKE)" tests/tools/run-steps $(STEPS) --beside $(BESIDE)

test-unit: $(TEST) .build/community/.unpacked ## Unit tests (pytest); ARGS="-k limits"
	@PYTHONPATH="$(CURDIR)/.build/live" PYTHONDONTWRITEBYTECODE=1 .venv/bin/python -m pytest -p no:pytest-ansible tests/unit tests/contract $(ARGS)

test-lint: $(TEST) .build/community/.unpacked ## ansible-lint, production profile
	@$(with_venv) ansible-lint --strict $(ARGS)

test-docs: $(TEST) ## Documentation and changelog fragments (antsibull)
	@$(with_venv) antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=self .
	@$(with_venv) antsibull-changelog lint

test-build: $(TEST) ## Build the collection into .build/dist, install it elsewhere, read it
	@$(with_venv) tests/tools/check-build

test-sanity: $(TEST) ## ansible-test sanity; ARGS="--test validate-modules"
	@.venv/bin/python tests/tools/seed_get_pip.py
	@$(with_venv) tests/tools/in-collection ansible-test sanity --local --python "$(SANITY_PYTHON)" $(ARGS)

test-integration: $(TEST) ## ansible-test integration on this machine, as root; TARGETS="vps_container" ARGS=-v
	@test "$$(id -u)" -eq 0 || { echo 'test-integration makes containers on this machine: run it as root' >&2; exit 1; }
	@$(with_venv) tests/tools/in-collection ansible-test integration --allow-destructive \
		--controller "origin:python=$(call version_of,.venv/bin/python)" \
		--target "controller:python=$(call version_of,$(NODE_PYTHON))@$(NODE_PYTHON)" --continue-on-error $(ARGS) $(TARGETS)

test-machine: ## Of test-integration, the targets whose node is this machine
	@$(MAKE) --no-print-directory test-integration TARGETS="--exclude apart/"

test-apart: ## Of test-integration, those that have a private copy of this machine, and may run beside the others
	@COPY=apart $(MAKE) --no-print-directory test-integration TARGETS=apart/

node_python = $(with_venv) PYTHONPATH="$(CURDIR)/.build/live" PYTHONDONTWRITEBYTECODE=1 .venv/bin/python -m
node_test = $(node_python) pytest -p no:pytest-ansible --durations=12 tests/node

test-node: $(NODE) ## Everything on booted machines (systemd, cgroup v2, SSH), an hour or more; RELEASES=trixie ARGS="-k boot"
	@$(node_test) -n 2 --dist loadfile $(RELEASES:%=--release=%) $(ARGS)

test-node-short: $(NODE) ## A quarter of an hour of it, on Debian 12, which `make test` and CI run too
	@$(node_test) --release=bookworm --short $(ARGS)

test-roles: $(ROLE) ## Roles inside VPSs, by Molecule, as root on a node, and the example of docs/molecule.md; ROLES="base" RELEASE=trixie ARGS="-k roles -s"
	@test -w /etc/vps/node.json || { echo 'test-roles makes VPSs on this machine: make it a node (make quickstart), and run it as root' >&2; exit 1; }
	@ROLES="$(ROLES)" VPS_TEMPLATE="molecule-$(RELEASE)" $(with_venv) $(node_python) pytest -p no:pytest-ansible --durations=12 tests/roles $(ARGS)

test-roles-short: ## Of it, three roles, on the node that test-machine makes; `make test` and CI run them too
	@$(MAKE) --no-print-directory test-roles ROLES="web mariadb proxy" ARGS="-k test_roles"

node-shell: $(NODE) ## A shell on a stock machine that goes when the shell ends; RELEASE=trixie ARGS="a command instead"
	@$(node_python) ansible_collections.mainline.vps.tests.node $(RELEASE) $(ARGS)

docs: $(TEST) ## Write docs/limits.md's tables anew from the code
	@PYTHONPATH="$(CURDIR)/.build/live" .venv/bin/python tools/limits_table.py

test-types: $(TEST) ## Type hints (mypy)
	@cd .build/live && ../../.venv/bin/python -m mypy --config-file ../../pyproject.toml $(addprefix -p ansible_collections.mainline.vps.plugins.,module_utils plugin_utils connection inventory) $(ARGS)

benchmark: $(TEST) ## What each task costs beside an empty one, one in a VPS beside ssh, all VPSs at once beside a shell, reading all of them, and disks beside btrfs alone; as root, on a node with a template `minimal`
	@PYTHONPATH="$(CURDIR)/.build/live" .venv/bin/python benchmarks/modules.py
	@$(with_venv) .venv/bin/python benchmarks/tasks.py
	@$(with_venv) .venv/bin/python benchmarks/connection.py
	@$(with_venv) .venv/bin/python benchmarks/where.py
	@$(with_venv) .venv/bin/python benchmarks/fleet.py
	@PYTHONPATH="$(CURDIR)/.build/live" .venv/bin/python benchmarks/info.py
	@PYTHONPATH="$(CURDIR)/.build/live" .venv/bin/python benchmarks/clones.py
	@PYTHONPATH="$(CURDIR)/.build/live" .venv/bin/python benchmarks/placement.py 1000

# In a venv of their own: the peers come with the package ansible, which is large.
with_peers = PATH="$(CURDIR)/.build/benchmark/venv/bin:$$PATH" ANSIBLE_COLLECTIONS_PATH="$(CURDIR)/.build/live" PYTHONPATH="$(CURDIR)/.build/live" \
	PYTHONDONTWRITEBYTECODE=1 python -m ansible_collections.mainline.vps.benchmarks

benchmark-peers: $(LIVE) ## Beside lxc_container, docker_container and LXC alone, as root, on a node; ARGS="10 50 100 --rounds 5"
	@PYTHON="$(PYTHON)" tools/benchmark-peers --with-debian
	@$(with_peers).peers $(ARGS)

benchmark-growth: $(LIVE) ## How our cost grows with VPSs, changes, addresses, templates, as root, on a node; ARGS="1 10 50"
	@PYTHON="$(PYTHON)" tools/benchmark-peers
	@$(with_peers).growth $(ARGS)

benchmark-density: $(LIVE) ## How many booted Debians this machine holds, and what each takes, as root, on a node; ARGS="20"
	@PYTHON="$(PYTHON)" tools/benchmark-peers
	@$(with_peers).density $(ARGS)

benchmark-molecule: $(ROLE) ## A scenario of Molecule beside its Docker driver, step by step, as root, on a node; ARGS="--rounds 3"
	@PYTHON="$(PYTHON)" tools/benchmark-peers --with-debian
	@.build/benchmark/venv/bin/python -m pip install -qq --no-input --disable-pip-version-check -r requirements/benchmark-molecule.txt </dev/null
	@$(with_peers).molecule $(ARGS)

clean: ## Remove .venv and .build; the node and its VPSs stay
	@rm -rf .venv .build

.venv/.installed-run: requirements/run.txt tools/bootstrap
	@PYTHON="$(PYTHON)" tools/bootstrap run

.venv/.installed-test: requirements/test.txt requirements/run.txt tools/bootstrap
	@PYTHON="$(PYTHON)" tools/bootstrap test

.venv/.installed-roles: .venv/.installed-test requirements/roles.txt
	@PYTHON="$(PYTHON)" tools/bootstrap roles

.build/community/.unpacked: .venv/.installed-run requirements/community.txt galaxy.yml tools/community
	@tools/community

.venv/.installed-node: .venv/.installed-test tools/bootstrap
	@PYTHON="$(PYTHON)" tools/bootstrap node

# Relative, so that the checkout can be moved. ansible-test needs a copy instead: tests/tools/in-collection.
$(LIVE):
	@mkdir -p $(@D)
	@ln -sfn ../../../.. $@
