# Each target brings what it needs, from python3 and make alone; `make` lists them.

# The machine's uv, else one of the template's own.
UV := $(or $(shell command -v uv 2>/dev/null),.uv/bin/uv)
# The demonstration finds that one too, and need not bring another.
MY_SHOP := PATH="$(CURDIR)/.uv/bin:$$PATH" $(MAKE) --no-print-directory -C build/my-shop

.DEFAULT_GOAL := help
.PHONY: demo docs help test

help:
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

# On a terminal, job control (set -m) gives Ctrl-C to the server alone: make itself goes on to stop
# the services and ends with 0. Without one, all get the signal, and the trap keeps the last step.
demo: $(UV) ## generate a project into build/ and serve it on 127.0.0.1:8000; Ctrl-C ends it
	@$(UV) tool run --quiet --from 'cookiecutter>=2.6,<3' cookiecutter . \
		--default-config --no-input --overwrite-if-exists --output-dir build
	@echo "Generated build/my-shop."
	@[ -t 0 ] && set -m 2>/dev/null; trap : INT; $(MY_SHOP) run; code=$$?; \
	$(MY_SHOP) stop; [ $$code = 0 ] || [ $$code = 130 ] # Ctrl-C

test: $(UV) ## test all that the template promises, on real services (about 20 minutes)
	@$(UV) run --quiet pytest

# The machine should have nothing else to do.
docs: $(UV) ## measure projects with every answer and write the figures of docs/ (half an hour)
	@$(UV) run --quiet python -m measure

.uv/bin/uv:
	@python3 -m venv .uv && .uv/bin/python -m pip install --quiet --disable-pip-version-check uv || { rm -rf .uv; \
		echo "uv could not be installed: install it yourself, or python3 with venv (Debian: python3-venv)."; exit 1; }
