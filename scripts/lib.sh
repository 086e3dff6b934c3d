# shellcheck shell=bash
# Shared by setup.sh and tests/images/build.sh. Source it.

# One line for each thing that is done.
say() {
	printf 'setup: %s\n' "$*"
}

die() {
	printf 'setup: error: %s\n' "$*" >&2
	exit 1
}

# Runs a command quietly; shows the end of its output when it fails.
quietly() {
	local log
	log=$(mktemp)
	if ! "$@" >"$log" 2>&1 </dev/null; then
		tail -n 40 "$log" >&2
		rm -f "$log"
		die "failed: $*"
	fi
	rm -f "$log"
}

# debian_uri plain|security: where this machine gets Debian's packages from.
#
# apt itself is asked, so that one-line and deb822 sources are understood alike, and
# so that no mirror is named in this repository. REPOT_DEBIAN_URI and
# REPOT_DEBIAN_SECURITY_URI override the answer.
debian_uri() {
	local codename wanted uri
	codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
	case $1 in
		plain) wanted=$codename uri=${REPOT_DEBIAN_URI-} ;;
		security) wanted=$codename-security uri=${REPOT_DEBIAN_SECURITY_URI-} ;;
		*) die "debian_uri: $1?" ;;
	esac
	if [[ -n $uri ]]; then
		echo "$uri"
		return
	fi
	local -a found
	mapfile -t found < <(
		apt-get update --print-uris 2>/dev/null |
			sed -n "s,^'\(.*\)/dists/$wanted/InRelease' .*,\1,p" | sort -u
	)
	# Other makers' repositories may use the same suite name; theirs is not "Debian".
	for uri in "${found[@]}"; do
		# Cloud images keep the address in a file of mirrors, which only apt reads.
		if [[ $uri == mirror+file:* ]]; then uri=$(grep -m 1 -v '^#' "${uri#mirror+file:}"); fi
		uri=${uri%/}
		if ((${#found[@]} == 1)) || curl -fsS --max-time 20 "$uri/dists/$wanted/InRelease" | grep -q '^Origin: Debian$'; then
			echo "$uri"
			return
		fi
	done
	die "apt's sources name no Debian repository for $wanted: set REPOT_DEBIAN_URI and REPOT_DEBIAN_SECURITY_URI"
}
