# Every command of the project. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
BIN := .venv/bin
SANDBOX := $(BIN)/python -m tests.sandbox
GATES := ruff mypy unit newest lint workflows docker shell changelog docs sanity package importer ee
# Another name than roberval: make demo AGENT=clovis
AGENT ?= roberval
# Where images are pushed: make image-push REGISTRY=registry.example.com/team
REGISTRY ?= 127.0.0.1:15000/digitalsys
# The base of `make image`: the sandbox's stand-in, or with BASE=registry the real one
BASE ?= sandbox
# More words for pytest: make integration ARGS='-k restart -x'
ARGS ?=

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {gsub(/\$$\$$/, "$$"); printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  make check-GATE       one gate: $(GATES)"

.PHONY: venv venv-newest
venv: ## the Python environment .venv, with the collections that ours needs (nothing to do: a moment)
	@$(PYTHON) -m tests.gates.venv

venv-newest: venv ## .venv/newest with the newest ansible-core, where a Python for it is found
	@$(PYTHON) -m tests.gates.venv --newest || [ $$? = 77 ]

.PHONY: sandbox sandbox-down sandbox-status sandbox-env
sandbox: venv ## Kubernetes, Vault, External Secrets and a registry on this machine (cold: 15 to 20 minutes)
	@$(SANDBOX) up

sandbox-down: venv ## take it down; only the cache stays
	@$(SANDBOX) down

sandbox-status: venv ## its parts, their processes and their logs
	@$(SANDBOX) status

sandbox-env: venv ## for a shell: eval "$$(make -s sandbox-env)"
	@$(SANDBOX) env

.PHONY: demo
demo: sandbox ## the sandbox, and an agent rolled out on it
	@environment="$$($(SANDBOX) env)"; eval "$$environment"; \
	for play in "rollout.yml -e agent=$(AGENT)" "playbooks/status.yml"; do \
		echo; echo "\$$ ansible-playbook $$play"; \
		ansible-playbook $$play </dev/null; \
	done; \
	echo 'The sandbox stays up. To look around: eval "$$(make -s sandbox-env)", then kubectl -n bots get pods'; \
	echo 'To take it down: make sandbox-down'

.PHONY: check $(addprefix check-,$(GATES))
check: venv ## all gates, offline: style, types, unit tests, documentation, sanity, packaging
	@$(BIN)/python -m tests.gates

$(addprefix check-,$(GATES)): check-%: venv
	@$(BIN)/python -m tests.gates $*

.PHONY: options
options: venv ## what the roles say of the modules' options, written anew from their argument specs and documentation
	@$(BIN)/python -m tests.gates.options

.PHONY: unit integration molecule test test-crash test-images bench
unit: venv ## pytest tests/unit
	@$(BIN)/python -m pytest tests/unit $(ARGS)

integration: sandbox ## pytest tests/integration, on the sandbox
	@environment="$$($(SANDBOX) env)"; eval "$$environment"; python -m pytest -v tests/integration $(ARGS) </dev/null

molecule: sandbox ## the molecule scenarios, on the sandbox
	@environment="$$($(SANDBOX) env)"; eval "$$environment"; python -m tests.gates.molecule </dev/null

test: venv ## everything: check, unit, molecule and integration; the sandbox is left as it was found
	@$(BIN)/python -m tests.gates.everything $(ARGS)

test-crash: sandbox ## every kill and every lost answer, on both sides of each write; about an hour
	@environment="$$($(SANDBOX) env)"; eval "$$environment"; AGENTS_TEST_FULL=1 python -m pytest -v -s tests/integration/test_{kills,faults,lock,two_clients,rotate_kills,rotate_lock,rotate_access_faults}.py $(ARGS) </dev/null

test-images: sandbox ## the real image: built twice and compared, booted, listed, pushed; a quarter of an hour
	@$(BIN)/python -m pytest -v -p no:cacheprovider tests/images $(ARGS) </dev/null

bench: sandbox ## rollout.yml beside its likes, on 1, 10 and 100 agents; prints ratios
	@environment="$$($(SANDBOX) env)"; eval "$$environment"; python -m tests.bench $(ARGS) </dev/null

.PHONY: image image-smoke image-push
image: venv ## base/ as an image, in dist/openclaw-agent.tar: docs/images.md
	@$(BIN)/python -m tests.sandbox.buildah $(if $(filter registry,$(BASE)),--real-base base/ci/build,base/ci/build --pull=missing)

image-smoke: venv ## boots the image that was built
	@$(BIN)/python -m tests.sandbox.buildah base/ci/smoke

image-push: sandbox ## pushes it, into the sandbox's registry or REGISTRY; LATEST=true moves `latest`, too
	@IMAGE_REPOSITORY="$(REGISTRY)/openclaw-agent" LATEST="$(LATEST)" base/ci/push

.PHONY: tarball clean
tarball: venv ## digitalsys-agents-VERSION.tar.gz, for ansible-galaxy and for the execution environment
	@$(BIN)/python -m tests.gates.tarball

clean: ## the environment and what tools left behind; not the cache, which other checkouts share
	@if [ -x $(BIN)/python ] && $(SANDBOX) status >/dev/null 2>&1; then \
		echo "clean: the sandbox is up; make sandbox-down first" >&2; exit 1; fi
	@rm -rf .venv .ansible .mypy_cache .ruff_cache .pytest_cache dist tests/output digitalsys-agents-*.tar.gz
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
