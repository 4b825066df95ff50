# All that a bare checkout needs is make and a Python of 3.11 or newer.
# PYTHON=/path/to/python3 chooses the interpreter that .venv is made from.

PY := .venv/bin/python
ACTIVATE = @echo 'To use mlx_cc in this shell: source .venv/bin/activate'

.PHONY: demo test check docs lock clean model

demo: model    ## the whole pipeline on the sample data
	@$(PY) -m mlx_cc demo
	$(ACTIVATE)

test: model check    ## set everything up, then check
	$(ACTIVATE)

check: .venv/tests    ## lint, format, types and tests
	@printf 'lint:   '; $(PY) -m ruff check
	@printf 'format: '; $(PY) -m ruff format --check
	@printf 'types:  '; $(PY) -m basedpyright
	@echo 'tests:'; $(PY) -m pytest --numprocesses auto --dist worksteal

docs: .venv/tests    ## write docs/commands.md, docs/API_REFERENCE.md and configs/schemas/
	@$(PY) scripts/make_docs.py

lock: .venv/tests    ## update constraints.txt to the newest versions that work together
	@$(PY) .ci/lock.py

clean:    ## remove what make and the tools made; keep data, models and adapters
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

model: .venv/runs
	@$(PY) -m mlx_cc models pull smollm2-135m

# Two files in .venv say what is installed: what mlx_cc needs to run, and what the checks need too.

.venv/runs: pyproject.toml constraints.txt $(PY)
	@echo 'install: mlx_cc and its dependencies (takes minutes the first time)'
	@$(PY) -m pip install --quiet --no-user --editable . --constraint constraints.txt
	@touch $@

.venv/tests: .venv/runs
	@echo 'install: ruff, basedpyright, pytest, selenium'
	@$(PY) -m pip install --quiet --no-user --editable '.[dev]' --constraint constraints.txt
	@touch $@

$(PY):
	@.ci/venv
