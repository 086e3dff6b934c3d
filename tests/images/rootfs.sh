#!/usr/bin/env bash
# Makes a Debian root file system for a test image.
#
#   rootfs.sh DIRECTORY SUITE [PACKAGE...]
#
# A minimal Debian with gosu, the en_US.UTF-8 locale, the user postgres (uid and gid
# 999, as in the official images) and the packages, security updates included. Every
# change to this file rebuilds all images: their recipe contains it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
. "$here/../../scripts/lib.sh"

root=$1 suite=$2
shift 2
packages=(gosu locales libnss-wrapper xz-utils zstd "$@")

plain=$(debian_uri plain)
security=$(debian_uri security)

# debootstrap of bookworm knows no suite after trixie. All are made alike, so sid's
# script serves; the copy leaves the system's own folder alone.
scripts=$(mktemp -d)
trap 'rm -rf "$scripts"' EXIT
cp -a /usr/share/debootstrap/. "$scripts"
if [[ ! -e $scripts/scripts/$suite ]]; then ln -s sid "$scripts/scripts/$suite"; fi

extra=()
if [[ $plain$security == *https:* ]]; then extra=(--include=ca-certificates); fi
DEBOOTSTRAP_DIR=$scripts debootstrap --variant=minbase "${extra[@]}" "$suite" "$root" "$plain"

# The new system fetches its packages as this machine does: same proxy, same certificates.
cat >"$root/etc/apt/sources.list" <<SOURCES
deb $plain $suite main
deb $security $suite-security main
SOURCES
apt-config dump Acquire | grep -E '^Acquire::(http|https|Check|Retries)' >"$root/etc/apt/apt.conf.d/99build" || :
cat >>"$root/etc/apt/apt.conf.d/99build" <<'CONF'
APT::Install-Recommends "false";
APT::Sandbox::User "root";
CONF
if [[ $plain$security == *https:* ]]; then
	cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# No package may start its server in here.
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"

# A mount namespace of its own: /proc goes away with it, even when this is killed.
# shellcheck disable=SC2016
unshare --mount --pid --fork bash -c 'mount -t proc proc "$1/proc" && shift && exec "$@"' \
	- "$root" chroot "$root" /usr/bin/env -i \
	PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
	bash -euc '
		groupadd --system --gid 999 postgres
		useradd --system --gid postgres --uid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres
		apt-get update
		apt-get install -y "$@"
		localedef -i en_US -c -f UTF-8 en_US.UTF-8
	' - "${packages[@]}"

# What only the build needed, and what no test reads.
cd "$root"
rm -rf usr/sbin/policy-rc.d etc/apt/apt.conf.d/99build etc/apt/sources.list etc/resolv.conf \
	var/cache/apt/* var/lib/apt/lists/* var/cache/debconf/*-old var/log/* \
	var/cache/ldconfig/* run/* etc/postgresql/* var/lib/postgresql/* var/lib/redis/* \
	usr/share/doc/* usr/share/man/* usr/share/info/* usr/share/lintian/*
find usr/share/locale -mindepth 1 -maxdepth 1 -type d ! -name 'en*' -exec rm -rf {} +
find usr/lib -name __pycache__ -type d -prune -exec rm -rf {} +
mkdir -p var/log/postgresql
install -d -m 1777 run/lock
