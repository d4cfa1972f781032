# Everything a person does with this checkout. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.DEFAULT_GOAL := help
.PHONY: help venv podman browser demo up test test-crash test-quick test-hosts lint docs bench lock clean

help: ## List what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

venv: $(VENV)/.ready ## Make the virtual environment from the lock file

$(VENV)/.ready: requirements.lock pyproject.toml .ci/venv
	@bash .ci/venv "$(PYTHON)" "$(VENV)"

podman: venv ## Make podman work on this machine, and say how
	@$(BIN)/qb podman

demo: venv ## Run a real task in a container, from nothing to its report
	@$(BIN)/qb demo

up: venv ## Start control plane, dashboard and a runner; Ctrl-C stops them
	@$(BIN)/qb up

browser: ## Have a chromium for the browser tests
	@bash .ci/browser

test: podman browser lint ## The whole test suite, real podman included
	@bash .ci/tests

test-crash: podman ## Kill the runner at every step, and at random, with real podman
	@$(BIN)/pytest -q -n 8 --dist worksteal -m crash tests/crash

test-quick: venv ## The tests that need no podman and no browser
	@QB_TEST_NO_PODMAN=1 QB_TEST_NO_BROWSER=1 $(BIN)/pytest -q -n 2 -m "not crash"

test-hosts: podman ## Provision machines with systemd and sshd, made from nothing; needs root
	@$(BIN)/ansible-lint --offline --nocolor -q
	@bash .ci/hosts

lint: venv ## Style, types, import rules, playbooks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tests.ansible.role_readme --check
	@$(BIN)/ansible-playbook --syntax-check -i inventory/local.yml -e decommission_hosts=all playbooks/*.yml

docs: venv ## Write the generated parts of docs/ and the roles' READMEs anew
	@$(BIN)/python -m tests.ansible.role_readme
	@$(BIN)/python -m qb.domain.diagram docs/architecture.md
	@$(BIN)/python -m qb.cli.reference > docs/cli.md

bench: podman ## Speed and memory, as ratios measured in one run
	@$(BIN)/python -m tests.bench

lock: ## Resolve the dependencies anew into requirements.lock
	@bash .ci/lock "$(PYTHON)"

clean: ## Remove the virtual environment and all state
	rm -rf $(VENV) .state .mypy_cache .ruff_cache .pytest_cache .hypothesis
