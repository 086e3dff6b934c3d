#!/usr/bin/env bash
# sample-config.sh FILE: what the image changes in PostgreSQL's postgresql.conf.sample,
# from which initdb makes every postgresql.conf.
set -euo pipefail

# As the official image: reachable from other containers.
sed -ri "s/^#?(listen_addresses)[[:space:]]*=[[:space:]]*\S+/\1 = '*'/" "$1"
grep -q "^listen_addresses = '\*'" "$1"

# Binaries that do not come from Debian look for their socket in /tmp. Theirs is put
# where the official image has it, and in /tmp too, for the clients of the same build.
if [[ ${2-} == foreign ]]; then
	sed -ri "s,^#?(unix_socket_directories)[[:space:]]*=[[:space:]]*\S+,\1 = '/var/run/postgresql\, /tmp'," "$1"
	grep -q "^unix_socket_directories = '/var/run/postgresql, /tmp'" "$1"
fi
