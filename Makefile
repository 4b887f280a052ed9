# `make` or `make help` lists what there is. Everything below works from a fresh clone on Debian 12 with the Swift toolchain.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup build test test-core test-fuse test-e2e lint check-gen demo bench clean conformance conformance-peers conformance-program case-pages bench-fuse

BUILD_PACKAGES := pkg-config libarchive-dev libseccomp-dev libfuse3-dev zlib1g-dev libisal-dev libzstd-dev libsqlite3-dev libssl-dev
# What the demo needs beyond building, and what the tests need beyond the demo.
DEMO_PACKAGES := busybox-static umoci skopeo
# The peers that the conformance suite judges, and what looks at its page.
PEER_PACKAGES := crun fuse-overlayfs chromium libxml2-utils
TEST_PACKAGES := debootstrap libcap2-bin gcc libc6-dev fuse-overlayfs stargz-snapshotter $(DEMO_PACKAGES) zstd attr containerd runc containernetworking-plugins docker-registry bats curl jq iproute2 procps python3 python3-grpcio python3-protobuf tmux
IMPORTS := --explicit-target-dependency-import-check error

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

setup: ## install the Debian packages that building and testing need (root)
	scripts/install-packages.sh $(BUILD_PACKAGES) $(TEST_PACKAGES)

build: ## build everything (debug)
	swift build $(IMPORTS)

# Tests that run programs block the few threads that asynchronous tests share: those get a run of their own.
ASYNC_TESTS := RegistryFetcherTests|GRPCFrontendTests|GRPCTransportTests|ImageTests|MetadataTests|InMemoryFakesTests|CommandLineTests|ProtocolsTests|LazyStatusTests|LazyImagesTests
# And those that are readers and servers of one mount: a thread that is taken away, or a child that is just being made, is in their way.
MOUNT_TESTS := FuseServerTests|FuseSnapshotterTests|MetricsServerTests

test: setup ## everything that CI runs: lint, unit tests, then ctr and its peers against our daemon (root)
	$(MAKE) lint
	swift build --build-tests $(IMPORTS)
	swift test --skip-build --disable-xctest --filter '$(ASYNC_TESTS)'
	swift test --skip-build --disable-xctest --filter '$(MOUNT_TESTS)'
	swift test --skip-build --disable-xctest --skip '$(ASYNC_TESTS)|$(MOUNT_TESTS)'
	$(MAKE) test-fuse
	$(MAKE) test-e2e

test-fuse: ## what serves FUSE mounts, in C: both transports, takeover, the union beside ext4 and overlayfs (root)
	Tests/cfuse/run.sh
	timeout -k 10 2400 Tests/union/run.sh

test-core: ## the fast loop: no network packages
	CORE_ONLY=1 swift test --scratch-path .build-core --disable-xctest

test-e2e: ## Debian's ctr, registry and umoci against our daemon (root)
	swift build $(IMPORTS)
	scripts/run-e2e.sh

lint: ## the toolchain's formatter, strictly
	swift format lint --strict --recursive --configuration .swift-format Sources Tests conformance Package.swift

check-gen: ## fail if the generated API code is not what proto/ makes
	scripts/generate-api.sh --check

demo: ## pull, unpack and run an image from a registry on loopback; kill the daemon; see the container live (root)
	scripts/install-packages.sh $(BUILD_PACKAGES) $(DEMO_PACKAGES)
	swift build $(IMPORTS) --product containerd-ref && swift build $(IMPORTS) --product containerd-shim-ref-v2
	@scripts/demo.sh

bench: ## side by side with Debian's containerd: pull and unpack, run to exit; ratios on the terminal and as JSON (root)
	scripts/install-packages.sh $(BUILD_PACKAGES) $(TEST_PACKAGES)
	swift build -c release --product containerd-ref && swift build -c release --product containerd-shim-ref-v2
	BUILD_DIR=$(CURDIR)/.build/release scripts/bench.sh

bench-fuse: ## FUSE and lazy pulling against their targets: ratios inside one run, ROUNDS=5 (root)
	scripts/install-packages.sh $(BUILD_PACKAGES) $(TEST_PACKAGES) fuse-overlayfs stargz-snapshotter gcc libc6-dev
	swift build -c release --product containerd-ref
	scripts/bench-fuse.sh

CONFORMANCE_PRODUCTS := containerd-conformance refrun containerd-shim-ref-v2 containerd-ref

conformance: ## the conformance suite on every backend of ours, the mutants, every form of report; three figures (root)
	scripts/install-packages.sh $(BUILD_PACKAGES) $(TEST_PACKAGES) $(PEER_PACKAGES)
	for product in $(CONFORMANCE_PRODUCTS); do swift build $(IMPORTS) --product $$product || exit 1; done
	scripts/run-conformance.sh

conformance-peers: ## the conformance suite on Debian's containerd, runc, crun and shim; three figures (root)
	scripts/install-packages.sh $(BUILD_PACKAGES) $(TEST_PACKAGES) $(PEER_PACKAGES)
	for product in $(CONFORMANCE_PRODUCTS); do swift build $(IMPORTS) --product $$product || exit 1; done
	scripts/run-conformance-peers.sh

conformance-program: ## the suite as one stripped program that needs no Swift: .build/containerd-conformance
	swift build -c release --static-swift-stdlib --scratch-path .build-release --product containerd-conformance
	strip -o .build/containerd-conformance .build-release/release/containerd-conformance

case-pages: ## a page of documentation for every case, from the cases themselves
	swift build $(IMPORTS) --product containerd-conformance
	.build/debug/containerd-conformance explain --all docs/conformance/cases

clean: ## remove what was built
	rm -rf .build .build-*
