# make help lists what there is. A bare machine needs Python 3.11 or newer and make, no more.
.POSIX:
.PHONY: help run test drill drill-hosts bench check format lock clean dev screenshots overload
.PHONY: reliability migrations-load

PYTHON = python3
UV_VERSION = 0.13.9
V = .venv
BIN = $(V)/bin
XDIST = --dist loadscope --no-loadscope-reorder

help:
	@echo 'make run      install what is needed, then start the shop with a simulated M-Pesa'
	@echo 'make test     install what is needed, then run every test (PYTEST_ARGS="-k orders" for some)'
	@echo 'make drill    the real shop against a failing M-Pesa, and the books compared (DRILL_ARGS="--payments 500")'
	@echo 'make drill-hosts   the same on several machines, which are cut off and killed (needs root; HOSTS_ARGS="--short")'
	@echo 'make bench    the shop beside its ceilings, as a table (BENCH_ARGS="catalogue --database sqlite" for some)'
	@echo 'make check    formatting, lint, types, import rules, then every test with coverage'
	@echo 'make reliability   run the tests of every named fault and write docs/reliability.md'
	@echo 'make migrations-load   tables of a million orders changed while people read (BENCH_ARGS="--orders 100000" for fewer)'
	@echo 'make overload     twice and four times the load that the shop can carry, and what becomes of it'
	@echo 'make screenshots   take the pictures of docs/screenshots anew (needs Chromium)'
	@echo 'make format   format the code and mend what the linter can mend'
	@echo 'make lock     pin the requirements anew'
	@echo 'make clean    remove what was installed and generated; the data of the shop stays'

run: $(V)/.run-installed
	@exec $(BIN)/python manage.py run

test: $(V)/.dev-installed $(V)/.browser-found
	@exec $(BIN)/python -m pytest -n auto $(XDIST) $(PYTEST_ARGS)

drill: $(V)/.dev-installed
	@exec $(BIN)/python -m drill $(DRILL_ARGS)

drill-hosts: $(V)/.dev-installed
	@exec $(BIN)/python -m drill.hosts $(HOSTS_ARGS)

bench: $(V)/.dev-installed
	@exec $(BIN)/python -m bench $(BENCH_ARGS)

check: $(V)/.dev-installed $(V)/.browser-found
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n auto $(XDIST) --cov --cov-branch --cov-report=term --cov-fail-under=90 $(PYTEST_ARGS)

reliability: $(V)/.dev-installed
	@exec $(BIN)/python -m tests.faults --write

migrations-load: $(V)/.dev-installed
	@exec $(BIN)/python -m bench.migrations $(BENCH_ARGS)

overload: $(V)/.dev-installed
	@exec $(BIN)/python -m bench.overload $(BENCH_ARGS)

screenshots: $(V)/.dev-installed $(V)/.browser-found
	@exec $(BIN)/python -m tests.browser.screenshots

format: $(V)/.dev-installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(V)/.made
	$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip compile -q --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-header requirements.in -o requirements.txt
	$(BIN)/uv pip compile -q --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-header requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf $(V) .cache .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

dev: $(V)/.dev-installed

$(V)/.made:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo 'There is no $(PYTHON). Install Python 3.11 or newer, or say: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Sokoni needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Say: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'Python cannot make virtual environments here. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Making $(V) …'
	@rm -rf $(V)
	@$(PYTHON) -m venv $(V)
	@touch $@

# uv is several times as fast as pip; where it cannot be had, pip does the same work.
$(V)/.run-installed: $(V)/.made requirements.txt
	@echo 'Installing what the shop runs on …'
	@$(BIN)/python -m pip install -q --disable-pip-version-check uv==$(UV_VERSION) 2>/dev/null \
	  && $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements.txt \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(V)/.dev-installed: $(V)/.run-installed requirements-dev.txt
	@echo 'Installing what the tests need …'
	@test -x $(BIN)/uv \
	  && $(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements-dev.txt \
	  || $(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(V)/.browser-found: $(V)/.dev-installed
	@$(BIN)/python -m tests.browser.chromium >$@.tmp && mv $@.tmp $@
