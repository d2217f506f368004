#!/bin/sh
# Prepares a machine that builds wheels: installs libpq, and puts the licences of all libraries that a wheel will carry
# with it into LICENSES. It knows the images of cibuildwheel (manylinux_2_34, with PostgreSQL's own packages, and
# musllinux_1_2), Debian, and macOS with Homebrew. Run it as root, on macOS as the user of Homebrew.
set -eu
cd "$(dirname "$0")"

# Libraries that the file in $1 needs, as paths; those of the C library stay the system's.
needed() {
    ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | grep -vE '/(ld-|libc\.|libc-|libm\.|libdl|libpthread|librt|libresolv)' || true
}

if command -v dnf > /dev/null; then
    arch=$(uname -m)
    dnf install -y "https://download.postgresql.org/pub/repos/yum/reporpms/EL-9-$arch/pgdg-redhat-repo-latest.noarch.rpm" epel-release
    dnf config-manager --set-enabled crb
    dnf -y module disable postgresql || true
    dnf install -y postgresql18-devel
    library=/usr/pgsql-18/lib/libpq.so
    for package in $(for file in "$library" $(needed "$library"); do rpm -qf --queryformat '%{NAME}\n' "$file"; done | sort -u); do
        for text in $(rpm -q --licensefiles "$package"); do cp "$text" "LICENSES/$package-$(basename "$text")"; done
    done
elif command -v apk > /dev/null; then
    apk add --no-cache libpq-dev
    # Alpine's packages carry no texts.
    apk info --license libpq openssl libssl3 libcrypto3 krb5-libs libldap > LICENSES/alpine.txt 2> /dev/null || true
elif command -v apt-get > /dev/null; then
    apt-get install -y libpq-dev
    library=$(pg_config --libdir)/libpq.so
    for package in $(for file in "$library" $(needed "$library"); do dpkg -S "$(readlink -f "$file")" 2> /dev/null | cut -d: -f1; done | sort -u); do
        cp "/usr/share/doc/$package/copyright" "LICENSES/$package.txt"
    done
elif command -v brew > /dev/null; then
    brew install libpq
    for package in libpq $(brew deps libpq); do
        for text in "$(brew --prefix "$package")"/LICENSE* "$(brew --prefix "$package")"/COPYING*; do
            if [ -f "$text" ]; then cp "$text" "LICENSES/$package-$(basename "$text")"; fi
        done
    done
else
    echo "error: no package manager that this script knows (dnf, apk, apt-get, brew)" >&2
    exit 1
fi
echo "libpq is installed; $(ls LICENSES | wc -l | tr -d ' ') licences are in LICENSES"
