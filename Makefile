# Everything that a newcomer or CI runs. `make` without a target lists it.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.installed

# The first of these that is Python 3.11 or newer makes the virtualenv. 3.14 comes late because
# there is no wheel with the embedded Valkey for it.
PYTHONS ?= python3.13 python3.12 python3.11 python3.14 python3 python

# Writes the generated files; with --check it only says whether they are current.
GENERATOR := docs/generate.py
IMPORT_TEST := tests/unit/test_imports.py

# Prints what is wrong, and little else.
SITE = NO_COLOR=1 $(PY) -m docs.site.build

# Each process has its own servers. Meanwhile two more run the system tests, which mostly wait.
TEST_PROCESSES ?= 4

# `make test COVERAGE=no` does not count lines.
COVERAGE ?= yes
COVERED := $(if $(filter yes,$(COVERAGE)),-p tests.linecount)

# How long `make mutants` tries; it goes on where the last run ended.
MINUTES ?= 30

# With real Terraform and providers, these take longest: `make terraform-test` runs them, and
# `make test` the rest of their folder.
TERRAFORM_TESTS := $(patsubst %,tests/integration/terraform/test_%.py,attachments coder_provider init_cache) \
	tests/integration/test_ledger.py

# What `make lowest` runs.
LOWEST_TESTS ?= tests/unit/test_imports.py tests/unit/test_settings.py tests/unit/test_names.py \
	tests/integration/test_enqueueing.py tests/integration/test_transitions.py \
	tests/integration/test_runner.py tests/integration/test_queries.py

# The cases of `make bad-input`, such as CASES="cycle plan-json"; all when empty.
CASES ?=

# How many examples each test of `make fuzz` tries.
EXAMPLES ?= 20000

# More options of `make chaos`, such as CHAOS="--minutes 8 --sealed".
CHAOS ?=

# What make test runs of the system tests: of poolers one mode, and of templates one shape.
SYSTEM_TESTS := $(patsubst %,tests/system/test_%.py,chaos cancel pause drain api) \
	$(patsubst %,'tests/system/test_pooler.py::test_a_short_trouble_fails_no_build_of_any_stage[transaction-%_restarts]',pooler postgresql) \
	'tests/system/test_shapes.py::test_a_template_of_a_common_shape_is_stored_as_it_is[docker]'

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Tests start hundreds of Python processes. None of them has to compile our code again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: recipes help setup demo test terraform-test faults fuzz pooler wheel-test lowest client pictures import-cost deploy-test alerts-test format check docs bench chaos bad-input mutants generate lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | \
		while IFS='|' read -r name text; do printf '%-19s %s\n' "$$name" "$$text"; done

setup: $(STAMP) ## Make the virtualenv with exactly the locked packages

# The build backend is locked like everything else, so nothing is fetched unpinned.
$(STAMP): requirements.lock pyproject.toml
	@if ! $(PY) -m pip --version >/dev/null 2>&1; then \
		for candidate in $(PYTHONS); do \
			if "$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
				>/dev/null 2>&1; then python=$$candidate; break; fi; \
		done; \
		if [ -z "$${python-}" ]; then \
			echo "No Python 3.11 or newer with its venv module was found: install python3.12" \
				"and python3.12-venv, or name one by make setup PYTHONS=/path/to/python." >&2; \
			exit 1; \
		fi; \
		echo "Making $(VENV) with $$python"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@echo "Installing the locked packages (some minutes the first time)"
	@$(PY) -m pip install --quiet --require-hashes --requirement requirements.lock
	@echo "Installing provisionerd"
	@$(PY) -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## Set up, then start a workspace and be refused by quota
	@echo "Running provisionerd demo"
	@$(VENV)/bin/provisionerd demo

test: setup ## Set up, then run most tests and a short chaos, and print the coverage
	@echo "Running the unit and integration tests; canceling, pausing and draining real workers meanwhile"
	@mkdir -p build
	@$(PY) -m coverage erase
	@$(PY) -m pytest --quiet -n 2 --dist loadfile $(SYSTEM_TESTS) >build/system-tests.log 2>&1 & \
	system=$$!; status=0; \
	$(PY) -m pytest --quiet -n $(TEST_PROCESSES) $(COVERED) tests/unit tests/integration \
		$(addprefix --ignore=,$(TERRAFORM_TESTS)) || status=$$?; \
	wait $$system || status=$$?; \
	cat build/system-tests.log; \
	exit $$status
	@if [ "$(COVERAGE)" = yes ]; then \
		$(PY) -m coverage combine --quiet; \
		printf 'Lines that ran in the processes of the tests themselves, in percent: '; \
		$(PY) -m coverage report --format=total; \
	fi

terraform-test: setup ## Run more tests with real Terraform and providers (about a minute)
	@echo "Running the longest tests with real Terraform"
	@$(PY) -m pytest --quiet -n 2 $(TERRAFORM_TESTS)

faults: setup ## Kill, cut, pause and drain real workers (about five minutes)
	@echo "Running the system tests, and the last release's statements on this schema"
	@$(PY) -m pytest --quiet -n 2 --dist loadfile tests/system tests/upgrade/test_statements.py

recipes: setup ## Install what recipes/ need into build/recipes, and try each of them
	@echo "Installing the libraries of the recipes"
	@$(PY) -m venv build/recipes
	@build/recipes/bin/python -m pip install --quiet --require-hashes -r recipes/requirements.txt
	@cp recipes/package.json recipes/package-lock.json recipes/node_postgres.mjs build/recipes
	@if command -v npm >/dev/null; then cd build/recipes && \
		npm ci --ignore-scripts --no-audit --no-fund --silent; \
	else echo "No npm: the recipe for node-postgres is not tried"; fi
	@$(PY) -m pytest --quiet tests/integration/sql/test_recipes.py

upgrade-test: setup ## Run the last release's workers and services with this version's
	@echo "Upgrading the last release and rolling back (about five minutes the first time, two later)"
	@$(PY) -m pytest --quiet -n 2 --dist loadfile tests/upgrade

fuzz: setup ## Try what reads hostile input with many new examples (about ten minutes)
	@FUZZ_EXAMPLES=$(EXAMPLES) $(PY) -m pytest --quiet -n 2 --timeout 3600 tests/unit/test_fuzz.py

pooler: setup ## Restart, fill up and fail over PostgreSQL and PgBouncer while builds run
	@echo "Running the tests with PgBouncer (about twenty minutes)"
	@$(PY) -m pytest --quiet tests/pooler

deploy-test: setup ## Run the shipped unit and image, and kill their workers (root, Debian)
	@echo "Running the deployment files (about ten minutes the first time, five later)"
	@$(PY) -m pytest --quiet tests/deployment

alerts-test: setup ## Provoke every alert against a live Prometheus (root, about eight minutes)
	@$(PY) -m tests.alerts $(ALERTS)

wheel-test: setup ## Install the wheel with the newest packages in an empty place, and run its demo
	@rm -rf build/wheel && mkdir -p build/wheel/empty
	@echo "Building the wheel"
	@$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/wheel .
	@echo "Installing it and the newest packages that it allows (some minutes the first time)"
	@$(PY) -m venv build/wheel/venv
	@build/wheel/venv/bin/python -m pip install --quiet "$$(echo build/wheel/*.whl)[api,embedded,ledger]"
	@cd build/wheel/empty && ../venv/bin/provisionerd demo

lowest: setup ## Run tests of enqueue, claim and build with the oldest packages that are allowed
	@rm -rf build/lowest && mkdir -p build/lowest
	@$(PY) -m venv build/uv && build/uv/bin/python -m pip install --quiet uv
	@echo "Installing the oldest packages"
	@UV_SYSTEM_CERTS=1 build/uv/bin/uv venv --quiet --python $(PY) build/lowest/venv
	@UV_SYSTEM_CERTS=1 build/uv/bin/uv pip install --quiet --python build/lowest/venv \
		--resolution lowest-direct --editable '.[api,embedded,flower,ledger,otel]' --group dev
	@build/lowest/venv/bin/python -m pytest --quiet $(LOWEST_TESTS)

client: setup ## Generate the Python and TypeScript clients of the HTTP API, build and try them
	@rm -rf build/client && mkdir -p build/client
	@$(PY) -m venv build/client/tool
	@build/client/tool/bin/python -m pip install --quiet --require-hashes -r clients/python/requirements.txt
	@cp clients/python/pyproject.toml clients/python/README.md build/client
	@build/client/tool/bin/openapi-python-client generate --path docs/reference/httpapi.json --meta none \
		--config clients/python/config.yaml --output-path build/client/provisionerd_client \
		--fail-on-warning >build/client/log 2>&1 || { cat build/client/log; exit 1; }
	@touch build/client/provisionerd_client/py.typed
	@$(PY) -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir build/client build/client
	@build/client/tool/bin/python -m pip install --quiet --no-deps build/client/*.whl
	@cp -r clients/typescript build/client/typescript
	@cp docs/reference/httpapi.json build/client/typescript/openapi.json
	@if command -v npm >/dev/null; then cd build/client/typescript && \
		npm ci --ignore-scripts --no-audit --no-fund --silent && npm run --silent build >build.log || \
		{ cat build.log; exit 1; }; \
	else echo "No npm: the TypeScript client is not built"; fi
	@$(PY) -m pytest --quiet tests/integration/api/test_clients.py
	@ls build/client/*.whl

pictures: setup ## Take the pictures of docs/page.md (chromium)
	@$(PY) -m pytest --quiet tests/integration/api/pages/pictures.py

import-cost: setup ## Measure what `import worker.enqueue` costs, and Celery and SQLAlchemy
	@for modules in worker.enqueue "celery, sqlalchemy"; do for run in 1 2 3; do \
		$(PY) -c "import $$modules, resource as r; u = r.getrusage(r.RUSAGE_SELF); \
			print(f'import $$modules: {u.ru_utime + u.ru_stime:.2f} s of processor time, {u.ru_maxrss / 1024:.0f} MB')"; \
	done; done

format: setup ## Format the code, and fix what the linter can fix
	@$(PY) -m ruff check --quiet --fix-only .
	@$(PY) -m ruff format --quiet .

check: setup ## Check format, lint, types, import directions and generated files
	@echo "Checking the format"
	@$(PY) -m ruff format --check --quiet .
	@echo "Checking the style"
	@$(PY) -m ruff check --quiet .
	@echo "Checking types"
	@$(PY) -m mypy
	@if [ -e $(IMPORT_TEST) ]; then echo "Checking import directions"; \
		$(PY) -m pytest --quiet $(IMPORT_TEST); \
	else echo "No $(IMPORT_TEST): import directions are not checked"; fi
	@if [ -e $(GENERATOR) ]; then echo "Checking that generated files are current"; \
		$(PY) $(GENERATOR) --check; \
	else echo "No $(GENERATOR): nothing is generated"; fi
	@echo "Checking the links of the documentation"
	@$(SITE)

docs: setup ## Build the documentation into build/site; with npm, charts are drawn
	@mkdir -p build/charts
	@cp docs/site/package.json docs/site/package-lock.json build/charts
	@if command -v npm >/dev/null; then cd build/charts && \
		npm ci --ignore-scripts --no-audit --no-fund --silent \
		|| echo "npm could not fetch the script for charts: they are shown as text"; \
	else echo "No npm: charts are shown as text"; fi
	@echo "Building the site"
	@$(SITE)
	@echo "Open build/site/index.html"

bench: setup ## Measure claims, quota commits and whole builds
	@$(PY) -m bench.run $(BENCH)

chaos: setup ## Kill workers and servers while builds run, and check each round (ROUNDS, SEED)
	@$(PY) -m bench.chaos play $(CHAOS)

bad-input: setup ## Import templates that are too much or wrong, and print how each ended
	@$(PY) -m bench.badinput $(CASES)

mutants: setup ## Break a copy of the code in many places, and count what no test notices (MINUTES=30)
	@$(PY) -m tests.mutants --minutes $(MINUTES)

generate: setup ## Write the generated files
	@echo "Running $(GENERATOR)"
	@$(PY) $(GENERATOR)

lock: setup ## Lock the newest packages that pyproject.toml allows, build backend included
	@echo "Locking requirements.lock"
	@$(PY) -m venv build/uv
	@build/uv/bin/python -m pip install --quiet uv
	@$(PY) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "editables", sep="\n")' > build/backend.in
	@UV_SYSTEM_CERTS=1 build/uv/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
		--all-extras --group dev --generate-hashes --no-header \
		--output-file requirements.lock pyproject.toml build/backend.in
	@echo "Locking what the image runs"
	@rm -f deploy/docker/requirements.lock
	@UV_SYSTEM_CERTS=1 build/uv/bin/uv pip compile --quiet --universal --python-version 3.11 --extra api \
		--constraint requirements.lock --generate-hashes --no-header --no-annotate \
		--output-file deploy/docker/requirements.lock pyproject.toml build/backend.in

clean: ## Remove the virtualenv and everything that tools have left
	@echo "Removing $(VENV), caches and build products"
	@rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
