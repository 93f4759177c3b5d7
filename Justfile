# Recipes for people who work on Stead. `./just` finds or brings `just` itself.

# What is brought here lies in .tools/, also where `just` itself was installed otherwise.
export PATH := justfile_directory() / ".tools/bin:" + env("PATH")

stead := "target/debug/stead"
arch := if arch() == "aarch64" { "arm64" } else { "amd64" }
triple := arch() + "-unknown-linux-gnu"
agents := "target/debug/agents" / arch

# List the recipes
default:
    @just --list --unsorted

# Bring up two customers' nodes on this machine, from nothing
demo: build
    {{ stead }} doctor --fix
    scripts/demo.sh {{ stead }}

# Run every test (as root; without root, those that need real nodes are listed as skipped)
test *args: build nextest
    scripts/test.sh {{ stead }} {{ args }}

# What a container cannot show, on a machine in QEMU (minutes without KVM): modules, kernel parameters, disks, boots
test-vm suite="trixie": build
    scripts/test-vm.sh {{ stead }} {{ suite }}

# Lock, build, verify, boot, audit, promote, diff and sign an image, with a table of what was seen (an hour without KVM)
image-proof image="agent-node": build
    scripts/image-proof.sh {{ stead }} {{ image }}

# A node that is a virtual machine, of a user who is not root; needs root for its image, and some minutes
vm-proof: build
    scripts/vm-proof.sh {{ stead }}

# Formatting, lints and documentation, all without a warning
check:
    cargo fmt --check
    cargo clippy --all-targets --quiet -- -D warnings
    cargo clippy --quiet --no-default-features --features node --lib --bin stead-node --bin stead-agent -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

# Build the operators' command, and the programs that run on nodes
build: node
    cargo build --bin stead

# Build the programs that run on nodes: static, small, without this folder's path in them
node:
    CARGO_TARGET_{{ uppercase(replace(triple, "-", "_")) }}_RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$PWD=/stead --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo" \
        cargo build --profile node --no-default-features --features node --target {{ triple }} --bin stead-node --bin stead-agent
    mkdir -p {{ agents }}
    install -m 0755 target/{{ triple }}/node/stead-node target/{{ triple }}/node/stead-agent {{ agents }}/

# Measure `up` against its bars (docs/BENCHMARKS.md)
bench: build
    benches/up.sh {{ stead }}

# Measure `converge` against its peers (benches/converge/README.md); builds for release
bench-converge *args: node
    benches/converge/run {{ args }}

# Measure image builds beside mmdebstrap, mkosi and debos (benches/image/README.md); builds for release
bench-image *args: node
    benches/image/run {{ args }}

# Measure the control plane against a handler that does nothing (benches/control/README.md); builds for release
bench-control *args:
    cargo bench --quiet --bench control -- {{ args }}

# Licences, advisories and banned crates
deny: cargo-deny
    cargo deny check

# Write the snapshots anew; look at the difference before you commit it
snapshots:
    INSTA_UPDATE=always TRYCMD=overwrite cargo nextest run

[private]
nextest:
    @command -v cargo-nextest >/dev/null || cargo install --locked --root .tools cargo-nextest

[private]
cargo-deny:
    @command -v cargo-deny >/dev/null || cargo install --locked --root .tools cargo-deny
