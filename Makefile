# Everything from a bare checkout: a Python of 3.11 or newer and make are all that has to be there.
# PYTHON=/path/to/python3 chooses the interpreter that .venv is made from.

PY := .venv/bin/python

.PHONY: demo test check docs lock clean model

demo: model    ## the whole pipeline on the sample data
	@$(PY) -m mlx_cc demo

test: model check    ## set everything up, then check

check: .venv/tests    ## lint, form, types and tests
	@printf 'lint:   '; $(PY) -m ruff check
	@printf 'format: '; $(PY) -m ruff format --check
	@printf 'types:  '; $(PY) -m basedpyright
	@echo 'tests:'; $(PY) -m pytest

docs: .venv/tests    ## write docs/commands.md and docs/API_REFERENCE.md
	@$(PY) scripts/make_docs.py

lock: .venv/tests    ## move constraints.txt to the newest versions that fit together
	@$(PY) .ci/lock.py

clean:    ## remove what make and the tools made; data, models and adapters stay
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

model: .venv/runs
	@$(PY) -m mlx_cc models pull smollm2-135m

# Two marks in .venv: what is needed to run, and what is needed to test besides.

.venv/runs: pyproject.toml constraints.txt $(PY)
	@echo 'install: mlx_cc and what it needs (the first time takes minutes)'
	@$(PY) -m pip install --quiet --no-user --editable . --constraint constraints.txt
	@touch $@

.venv/tests: .venv/runs
	@echo 'install: ruff, basedpyright, pytest, selenium'
	@$(PY) -m pip install --quiet --no-user --editable '.[dev]' --constraint constraints.txt
	@touch $@

$(PY):
	@.ci/venv
