#!/usr/bin/env bash
# Prepares a Debian machine for repot's tests: packages, Docker with Compose, storage
# servers (storage-servers.sh), and the images that the scenarios run.
#
#   scripts/setup.sh [packages|docker|images|dbbackup|mail|all] (default: all)
#   scripts/setup.sh images NAME...      only these, for example postgres:17
#   scripts/setup.sh nautobot-real       the image of a real Nautobot, made on request
#
# Wants Debian 12 or later and root. Does only what is missing, and says each thing it
# does; a second run takes a second or two. Needs Debian's, PyPI's, npm's and crates.io's
# packages, and no image registry.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"
export PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export DEBIAN_FRONTEND=noninteractive

readonly DOCKERD_LOG=/var/log/repot-dockerd.log
readonly DOCKERD_WAIT_S=60
readonly PLUGINS=/usr/local/lib/docker/cli-plugins

work=''
cleanup() {
	if [[ -n $work ]]; then rm -rf "$work"; fi
}
trap cleanup EXIT

# ---------------------------------------------------------------- packages

packages() {
	local -a wanted=(
		gcc libc6-dev make # a C compiler: bundled SQLite, ring
		ca-certificates curl jq
		tzdata                    # time zones by name
		debootstrap               # root file systems for images
		python3 python3-pip       # wheels for images; the test application
		python3-venv              # the real django-dbbackup
		postgresql-client         # what it dumps and restores with
		iptables                  # dockerd's networks
		gnupg age zstd            # backups are tried beside them
		mariadb-client            # backups of MariaDB by URL
		openssh-client            # ssh-keygen: age encrypts to SSH keys too
		openssl                   # certificates of test servers
		systemd                   # systemd-analyze, which reads the timers that repot writes; nothing of it is started
	)
	command -v dockerd >/dev/null || wanted+=(docker.io)
	command -v npm >/dev/null || wanted+=(npm)

	local -a missing=()
	local package present
	present=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || :)
	for package in "${wanted[@]}"; do
		if [[ $'\n'$present$'\n' != *$'\n'"$package installed"$'\n'* ]]; then missing+=("$package"); fi
	done
	if ((${#missing[@]})); then
		say "packages: installing ${missing[*]}"
		quietly apt-get update
		quietly apt-get install -y --no-install-recommends "${missing[@]}"
	fi
	compose_plugin
}

# Compose v2. bookworm's docker-compose is Compose v1, in Python; trixie's is v2, one
# static program. Only that one file is taken, through a configuration of apt's of its
# own: the machine's sources stay as they are.
compose_plugin() {
	if docker compose version >/dev/null 2>&1; then return; fi
	local plain
	plain=$(debian_uri plain)
	work=$(mktemp -d)
	mkdir -p "$work"/{etc/apt.conf.d,etc/preferences.d,state/lists/partial,cache/archives/partial,unpacked}
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $plain trixie main" >"$work/etc/sources.list"
	: >"$work/state/status"
	local -a private=(
		-o "Dir::Etc=$work/etc" -o "Dir::State=$work/state" -o "Dir::State::status=$work/state/status"
		-o "Dir::Cache=$work/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none
	)
	say 'docker compose: installing the Compose plugin of trixie'
	quietly apt-get "${private[@]}" update
	(cd "$work" && quietly apt-get "${private[@]}" download docker-compose)
	dpkg -x "$work"/docker-compose_*.deb "$work/unpacked"
	local plugin
	plugin=$(find "$work/unpacked" -path '*/cli-plugins/docker-compose' -type f)
	install -D "$plugin" "$PLUGINS/docker-compose"
	rm -rf "$work"
	work=''
	docker compose version >/dev/null || die "docker compose does not work with $PLUGINS/docker-compose"
}

# ---------------------------------------------------------------- docker

docker_answers() {
	timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1
}

dockerd_runs() {
	local pid
	pid=$(cat /run/docker.pid 2>/dev/null) || return 1
	[[ $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]]
}

start_docker() {
	if docker_answers; then return; fi
	if [[ -d /run/systemd/system ]]; then
		say 'docker: starting the service'
		systemctl start docker || :
	elif ! dockerd_runs; then
		say "docker: starting dockerd (log: $DOCKERD_LOG)"
		# Left by a machine that stopped without notice. dockerd would take a process
		# that has this number by now for itself.
		rm -f /run/docker.pid
		: >"$DOCKERD_LOG"
		# dockerd outlives this script. Whoever reads our output from a pipe waits until
		# its last writer has gone, so dockerd gets no descriptor of ours.
		(
			for fd in /proc/self/fd/*; do
				fd=${fd##*/}
				if ((fd > 2)); then eval "exec $fd>&-"; fi
			done
			exec setsid --fork dockerd </dev/null >>"$DOCKERD_LOG" 2>&1
		)
	fi
	local waited_s=0
	until docker_answers; do
		if ((waited_s >= DOCKERD_WAIT_S)); then
			tail -n 30 "$DOCKERD_LOG" >&2 || :
			die "docker does not answer after $DOCKERD_WAIT_S s"
		fi
		sleep 1
		waited_s=$((waited_s + 1))
	done
}

# ---------------------------------------------------------------- main

usage() {
	sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
}

main() {
	local what=${1-all}
	case $what in
		-h | --help | help) usage && exit ;;
		packages | docker | images | dbbackup | mail | nautobot-real | all) ;;
		*) usage >&2 && exit 2 ;;
	esac
	shift || :
	((EUID == 0)) || die 'root is wanted: packages are installed and dockerd is started'
	[[ -e /etc/debian_version ]] || die 'this machine is not a Debian'

	# Two at once would start two daemons and make every image twice.
	exec 9>/run/lock/repot-setup.lock
	if ! flock -n 9; then
		say 'waiting for another setup to finish'
		flock -w 3600 9 || die 'another setup has been running for an hour'
	fi

	case $what in
		packages) packages ;;
		docker)
			packages
			start_docker
			;;
		images)
			start_docker
			"$here/../tests/images/build.sh" "$@" 9>&-
			;;
		dbbackup) "$here/dbbackup-venv.sh" 9>&- ;;
		mail) "$here/mail-server.sh" 9>&- ;;
		nautobot-real)
			start_docker
			"$here/../tests/images/build.sh" repot-test/nautobot-real:2 9>&-
			;;
		all)
			packages
			start_docker
			"$here/storage-servers.sh" 9>&-
			"$here/../tests/images/build.sh" 9>&-
			"$here/dbbackup-venv.sh" 9>&-
			"$here/mail-server.sh" 9>&-
			;;
	esac
}

main "$@"
