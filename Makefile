.DEFAULT_GOAL := help
.PHONY: help build test lint demo prove manifests cluster cluster-down cluster-shell clean
MAKEFLAGS += --no-print-directory

help: ## Say what can be made
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## Build the release binaries (neuroca-deploy, neuroca)
	cargo build --locked --release -p neuroca-deploy -p neuroca-service

test: ## Run the whole test suite; says what it leaves out
	@scripts/test.sh

lint: ## Check format, lints, licences and banned crates
	@scripts/lint.sh

demo: ## Deploy, change, break and turn back a project on this machine
	@scripts/demo.sh

prove: ## Measure the published figures: AREA=local [FIGURE=n] [FORCE=1] [SEED=n]
	@AREA="$(AREA)" FIGURE="$(FIGURE)" FORCE="$(FORCE)" SEED="$(SEED)" scripts/prove.sh

manifests: ## Hold the rendered Kubernetes manifests against a real API server, schemas and checkov
	@tests/cluster/manifests.sh

cluster: ## Bring a real Kubernetes cluster up here, sealed off (root); says where its kubeconfig is
	@tests/cluster/cluster.sh up sealed

cluster-down: ## End it, with nothing left behind
	@tests/cluster/cluster.sh down sealed

cluster-shell: ## A shell inside of it, with kubectl
	@tests/cluster/cluster.sh shell

clean: ## Remove what cargo built
	cargo clean
