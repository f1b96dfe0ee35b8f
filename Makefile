# Each target installs what it needs, with python3 and make alone; `make` lists them.

# An installed uv, else a copy of the template's own.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
# With that copy on PATH, the generated project does not install another one.
MY_SHOP := PATH="$(CURDIR)/.uv/bin:$$PATH" $(MAKE) --no-print-directory -C build/my-shop

.DEFAULT_GOAL := help
.PHONY: demo docs help test

help:
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

# On a terminal, job control (set -m) sends Ctrl-C to the server alone, so that make goes on to stop the
# services and exits with 0. Without a terminal every process gets the signal, and the trap lets the last
# command run.
demo: $(UV) ## generate a project into build/ and serve it on 127.0.0.1:8000; Ctrl-C stops it
	@$(UV) tool run --quiet --from 'cookiecutter>=2.6,<3' cookiecutter . \
		--default-config --no-input --overwrite-if-exists --output-dir build
	@echo "Generated build/my-shop."
	@[ -t 0 ] && set -m 2>/dev/null; trap : INT; $(MY_SHOP) run; code=$$?; \
	$(MY_SHOP) stop; [ $$code = 0 ] || [ $$code = 130 ] # Ctrl-C

test: $(UV) ## run all tests, on real services (about 20 minutes)
	@$(UV) run --quiet pytest

# Run it on an otherwise idle machine. ONLY=part,part measures these parts again; WRITE=1 measures nothing.
docs: $(UV) ## measure projects with every answer and write the figures of docs/ (about 40 minutes)
	@$(UV) run --quiet python -m reference $(if $(ONLY),--only="$(ONLY)") $(if $(WRITE),--write)

.uv/bin/uv:
	@python3 -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv || { rm -rf .uv; \
		echo "uv could not be installed: install it yourself, or python3 with venv (Debian: python3-venv)."; exit 1; }
