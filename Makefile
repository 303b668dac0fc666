# Two commands on a fresh machine with Python and git: `make run` and `make test`.
# Another interpreter: `make test PYTHON=python3.13` (it gets an environment of its own).

PYTHON ?= python3
VENV := .venv$(if $(filter-out python3,$(PYTHON)),-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BUILT := $(VENV)/.built
CORE := setup.py $(wildcard src/socketkit/_core/*.c src/socketkit/_core/*.h)
BOTH_CORES := tests/core tests/connection tests/engines tests/stories tests/faults
WEBSOCKET := $(addprefix tests/websocket/test_,messages.py frames.py broadcast.py)

# Bytecode is kept, whatever the shell says: else each command that a test starts compiles all it imports, which takes
# as long as the rest of its start, and pytest rewrites every test file in each of its workers.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test pure check sanitize fast again soak soak-command soak-chat reliability format docs site site-check translations pictures matrix behaviours bench bench-framing bench-relay bench-chat fuzz dist image clean

run: $(BUILT)
	@$(BIN)/socketkit tour

test: check $(BUILT)
	@$(BIN)/pytest -n 4
	@$(MAKE) -s pure

# The contracts, laws, stories and faults once more, on the core in Python.
pure: $(READY)
	@SOCKETKIT_PURE=1 $(BIN)/pytest -n 4 -m "not slow" $(BOTH_CORES) $(WEBSOCKET)

fast: $(BUILT)
	@$(BIN)/pytest -n 4 -m "not slow"

# The tests that failed last, without others beside them.
again: $(BUILT)
	@$(BIN)/pytest --last-failed --last-failed-no-failures none

check: $(READY)
	@$(BIN)/ruff format --check -q .
	@$(BIN)/ruff check -q .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > $(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }

# Many clients, half of them faulty, for long: `make soak`, `make soak DURATION=1h`.
DURATION ?= 10m
soak: $(READY)
	@SOAK_DURATION=$(DURATION) $(BIN)/pytest tests/faults/test_crowd.py -v

# The same for the command itself: one process that runs out of descriptors, then workers that are killed.
soak-command: $(READY)
	@PYTHONPATH=tests $(BIN)/python -m faults.soak --duration $(DURATION)

# Two chat hosts on a bus that is restarted three times, 300 guests of all kinds: `make soak-chat`, DURATION=2m.
soak-chat: $(BUILT)
	@PYTHONPATH=tests $(BIN)/python -m faults.soak_chat --duration $(DURATION)

# The faults for servers of other libraries too; writes the table of docs/reliability.md.
reliability: .venv-reliability/.ready
	@PYTHONPATH=tests .venv-reliability/bin/python -m faults.reliability

format: $(READY)
	@$(BIN)/ruff format -q .
	@$(BIN)/ruff check -q --fix .

docs: $(READY)
	@$(BIN)/python docs/make.py
	@$(BIN)/python packaging/make.py

# The documentation site in two languages, in site/; any warning fails. `make site-check` opens each page in Chromium.
site: .venv-site/.ready
	@NO_MKDOCS_2_WARNING=1 .venv-site/bin/mkdocs build -q --strict

site-check: site
	@.venv-site/bin/python docs/site_check.py

# Sentences of English pages that were reworded since their Russian twins were last changed.
translations:
	@$(PYTHON) docs/translations.py

# The pictures of docs/learn/, from real runs. A test compares them.
pictures: $(READY)
	@$(BIN)/python docs/pictures.py

matrix: $(READY)
	@$(BIN)/python docs/matrix.py

# Everything, a selection (`make bench ONLY=ping-50,tls-32 PEERS=ours/streams`), or short rounds (`make bench QUICK=1`).
bench: .venv-bench/.ready $(BUILT)
	@QUICK=$(QUICK) ONLY='$(ONLY)' PEERS='$(PEERS)' .venv-bench/bin/python -m bench

behaviours: $(READY)
	@TOOL=$(TOOL) $(BIN)/python docs/behaviours.py

# The pictures of the chat's page in docs/images, by headless Chromium.
.PHONY: screenshots
screenshots: $(BUILT)
	@PYTHONPATH=tests $(BIN)/python docs/screenshots.py

bench-framing: .venv-bench/.ready
	@.venv-bench/bin/python bench/framing.py

# The chat's fan-out beside Redis, its memory and its delays; writes bench/chat.md.
bench-chat: $(BUILT)
	@$(BIN)/python -m bench.chat --write

bench-relay: $(READY)
	@$(BIN)/python bench/relay.py

# The Autobahn testsuite against our WebSocket, both sides: `make autobahn CASES='1.* 6.*'`. A whole run takes 20 minutes.
# The suite is a program for Python 2.7; where there is none with pip, nothing is run, and that is said.
AUTOBAHN := .venv-autobahn
CASES ?= *
PYTHON2 ?= $(firstword $(foreach at,python2.7 pypy $(wildcard $(HOME)/.pyenv/versions/2.7.*/bin/python2.7),\
	$(shell $(at) -c 'import sys, pip; sys.exit(sys.version_info[:2] != (2, 7))' >/dev/null 2>&1 && echo $(at))))
.PHONY: autobahn npm
autobahn: $(BUILT)
	@if test -z "$(PYTHON2)"; then \
		echo "skipped: the Autobahn testsuite needs Python 2.7 with pip, and there is none (PYTHON2=path names one)"; \
	else \
		$(MAKE) -s $(AUTOBAHN)/.ready PYTHON2=$(PYTHON2) && \
			PYTHONPATH=tests $(BIN)/python -m foreign.autobahn $(AUTOBAHN) --cases '$(CASES)' $(if $(PART),--part $(PART)); \
	fi

# The programs of npm that the tests of WebSocket talk to; without them those tests are skipped.
npm: .venv-npm/.ready
.venv-npm/.ready:
	@npm install --silent --no-audit --no-fund --prefix $(@D) ws@8 wscat@6 >/dev/null
	@touch $@

$(AUTOBAHN)/.ready:
	@PYTHONUSERBASE=$(CURDIR)/$(AUTOBAHN) $(PYTHON2) -m pip install --user -q --no-warn-script-location \
		autobahntestsuite==25.10.1 2>$(@D).log || { cat $(@D).log; rm -f $(@D).log; exit 1; }
	@rm -f $(@D).log; touch $@

fuzz: .venv-fuzz/.ready $(BUILT)
	@PYTHONPATH=tests $(BIN)/python fuzz/core.py
	@.venv-fuzz/bin/python fuzz/framing.py -max_total_time=60 -max_len=512 -len_control=0 -verbosity=0 -artifact_prefix=.venv-fuzz/

$(READY): pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e '.[dev]'
	@touch $(READY)

# The compiled core, in place. Without a compiler this succeeds, and the core in Python serves.
$(BUILT): $(READY) $(CORE)
	@$(BIN)/python setup.py -q build_ext --inplace
	@touch $(BUILT)

# The tests of the core with AddressSanitizer and UndefinedBehaviorSanitizer (gcc). Its objects have a folder of their
# own: `build_ext` takes any that are there for its own.
SANITIZER := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g -O1
sanitize: .venv-sanitize/.built
	@LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
		ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc SANITIZED=1 \
		.venv-sanitize/bin/pytest -n 2 -m "not slow" --timeout 300 tests/core tests/connection tests/engines tests/websocket tests/streams/test_copy.py

.venv-sanitize/.built: pyproject.toml $(CORE) $(wildcard src/socketkit/*.py src/socketkit/*/*.py)
	@test -x .venv-sanitize/bin/python || $(PYTHON) -m venv .venv-sanitize
	@printf '[build]\nbuild_base = $(CURDIR)/.venv-sanitize/build\n' > .venv-sanitize/dist.cfg
	@.venv-sanitize/bin/python -m pip install -q --disable-pip-version-check '.[dev]'
	@CFLAGS="$(SANITIZER)" LDFLAGS="-fsanitize=address,undefined" DIST_EXTRA_CONFIG=$(CURDIR)/.venv-sanitize/dist.cfg \
		.venv-sanitize/bin/python -m pip install -q --disable-pip-version-check --force-reinstall --no-deps --no-cache-dir .
	@touch $@

# An sdist and a wheel in dist/, checked, and installed into bare environments of each interpreter that is here.
dist: .venv-dist/.ready
	@rm -rf dist
	@.venv-dist/bin/python -m build -q
	@.venv-dist/bin/twine check --strict dist/*
	@.venv-dist/bin/python packaging/try_install.py dist

# The container image; without a Docker daemon its file is only checked.
image: .venv-dist/.ready
	@.venv-dist/bin/hadolint packaging/Dockerfile
	@if docker info >/dev/null 2>&1; then docker build -q -t socketkit -f packaging/Dockerfile . && docker run --rm socketkit --version; \
	else echo "docker does not answer: packaging/Dockerfile was checked, and not built"; fi

# Tools that the tests do not need have environments of their own, each from the extra of its name.
.venv-%/.ready: pyproject.toml
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip install -q --disable-pip-version-check -e '.[$*]'
	@touch $@

clean:
	@rm -rf build site src/socketkit/_core/*.so .venv .venv-* dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
