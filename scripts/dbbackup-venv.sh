#!/usr/bin/env bash
# A Python environment with the real django-dbbackup, for the tests that compare repot with it:
# ~/.cache/repot/tools/dbbackup-venv. Made once; made anew when the versions below change. Needs PyPI's packages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

# The versions whose behaviour crates/repot-store/src/dbbackup/ describes.
readonly WANTED=(django-dbbackup==5.4.0 Django==5.2.19 psycopg==3.3.9 psycopg-binary==3.3.9 python-gnupg==0.5.7)
venv=$HOME/.cache/repot/tools/dbbackup-venv

if [[ $(cat "$venv/wanted" 2>/dev/null) == "${WANTED[*]}" ]]; then exit; fi
mkdir -p "${venv%/*}"
exec 9>"$venv.lock"
flock -w 600 9 || die "another making of $venv has been running for ten minutes"
if [[ $(cat "$venv/wanted" 2>/dev/null) == "${WANTED[*]}" ]]; then exit; fi

say "django-dbbackup: making $venv"
rm -rf "$venv"
if ! python3 -c 'import ensurepip' 2>/dev/null; then
	die 'this Python makes no environments: install python3-venv'
fi
quietly python3 -m venv "$venv"
quietly "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${WANTED[@]}"
# Last: whatever is without it is not finished.
echo "${WANTED[*]}" >"$venv/wanted"
