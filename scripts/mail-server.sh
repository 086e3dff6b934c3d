#!/usr/bin/env bash
# A Python environment with a real SMTP server (aiosmtpd), for the tests of alerts: ~/.cache/repot/tools/mail-venv (or
# under REPOT_TOOLS). Made once; made anew when the version below changes. Needs PyPI's packages, and openssl for
# certificates.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

readonly WANTED=(aiosmtpd==1.4.6)
venv=${REPOT_TOOLS:-$HOME/.cache/repot/tools}/mail-venv

if [[ $(cat "$venv/wanted" 2>/dev/null) == "${WANTED[*]}" ]]; then exit; fi
mkdir -p "${venv%/*}"
exec 9>"$venv.lock"
flock -w 600 9 || die "another making of $venv has been running for ten minutes"
if [[ $(cat "$venv/wanted" 2>/dev/null) == "${WANTED[*]}" ]]; then exit; fi

say "mail server: making $venv"
rm -rf "$venv"
if ! python3 -c 'import ensurepip' 2>/dev/null; then
	die 'this Python makes no environments: install python3-venv'
fi
quietly python3 -m venv "$venv"
quietly "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${WANTED[@]}"
# Last: whatever is without it is not finished.
echo "${WANTED[*]}" >"$venv/wanted"
