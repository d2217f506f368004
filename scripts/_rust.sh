# What the Rust engine (rust/) needs to be built. Sourced, never run; the current folder is the project's.
# Each *_problem says in one line what is missing and how to get it; nothing if it is there.

# Versions of Rust: the one that is needed at least, and the one that is installed (nothing if none is).
rust_wanted() { sed -n 's/^rust-version = "\(.*\)"/\1/p' rust/Cargo.toml; }
rust_found() { rustc --version 2>/dev/null | cut -d ' ' -f 2; }

toolchain_problem() {
    local wanted found
    wanted=$(rust_wanted)
    found=$(rust_found) || true
    if ! command -v cargo >/dev/null || [ -z "$found" ]; then
        echo "Rust $wanted or later. Install it from https://rustup.rs, then open a new shell"
    elif [ "$(printf '%s\n%s\n' "$wanted" "$found" | sort -V | head -n 1)" != "$wanted" ]; then
        echo "Rust $wanted or later, found $found. With rustup: rustup update stable"
    fi
}

# ring, which does the cryptography for TLS, contains C and assembly; so does SQLite.
compiler_problem() {
    command -v "${CC:-cc}" >/dev/null || echo "a C compiler. On Debian: apt-get install gcc libc6-dev"
}
