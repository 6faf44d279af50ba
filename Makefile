# `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install what building and testing needs (Debian, as root)
	@scripts/setup.sh

run: setup ## Build, start Legator and one probe on this machine, print what to try
	@scripts/run.sh

test: setup ## Everything CI runs
	@scripts/test.sh

lint: ## Formatting, clippy
	@scripts/lint.sh

bench: ## Figures, from an optimised build
	@scripts/bench.sh

soak: setup ## Long runs: API and parser fuzzing, kills, small model (SOAK_MINUTES=10 each)
	@scripts/soak.sh

openapi: ## Write api/openapi.json anew from the routes
	@UPDATE_OPENAPI=1 cargo nextest run --cargo-quiet --test http -E 'test(the_document_is_the_one_that_is_kept)'

.PHONY: help setup run test lint bench soak openapi
