#!/usr/bin/env bash
# Entrypoint of repot's stand-in for Docker's official postgres image.
#
# Written for the tests: it keeps the official image's contract (which settings
# exist, when they are ignored, which directories are prepared and how, when
# PostgreSQL 18 refuses to start), not its code. README.md beside the Dockerfile
# lists what differs.
set -Eeuo pipefail

readonly INIT_SCRIPTS=/docker-entrypoint-initdb.d
readonly SOCKETS=/var/run/postgresql

die() {
	printf '%s\n' "$@" >&2
	exit 1
}

# Is the command only asking the server a question? Then no directory is needed.
only_asks() {
	local arg
	for arg; do
		case $arg in
			-\? | --help | -V | --version | --describe-config) return 0 ;;
		esac
	done
	return 1
}

# NAME [DEFAULT]: gives the variable NAME the content of the file that NAME_FILE
# names, or the default. Both set is an error: nobody could say which one wins.
setting() {
	local name=$1 file_name="${1}_FILE" value=${2-}
	if [[ -n ${!name-} && -n ${!file_name-} ]]; then
		die "error: both $name and $file_name are set (but are exclusive)"
	fi
	if [[ -n ${!name-} ]]; then
		value=${!name}
	elif [[ -n ${!file_name-} ]]; then
		value=$(<"${!file_name}")
	fi
	export "$name=$value"
	unset "$file_name"
}

is_initialised() {
	[[ -s $PGDATA/PG_VERSION ]]
}

# Runs before any look at the version of what is in there, as in the official
# image: even a start that fails may change modes and owners.
prepare_directories() {
	mkdir -p "$PGDATA"
	chmod 0700 "$PGDATA" || :
	mkdir -p "$SOCKETS" || :
	chmod 3775 "$SOCKETS" || :
	if [[ -n ${POSTGRES_INITDB_WALDIR-} ]]; then
		mkdir -p "$POSTGRES_INITDB_WALDIR"
		chmod 0700 "$POSTGRES_INITDB_WALDIR" || :
	fi
	if ((EUID == 0)); then
		find "$PGDATA" "$SOCKETS" ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} \
			! -user postgres -exec chown postgres {} +
	fi
}

require_password() {
	if [[ -z $POSTGRES_PASSWORD && ${POSTGRES_HOST_AUTH_METHOD-} != trust ]]; then
		die 'Error: Database is uninitialized and superuser password is not specified.' \
			'       You must specify POSTGRES_PASSWORD to a non-empty value for the' \
			'       superuser. For example, "-e POSTGRES_PASSWORD=password" on "docker run".' \
			'' \
			'       POSTGRES_HOST_AUTH_METHOD=trust allows every connection without a' \
			'       password instead. Use that in tests only.'
	fi
	if [[ ${POSTGRES_HOST_AUTH_METHOD-} == trust ]]; then
		echo 'WARNING: POSTGRES_HOST_AUTH_METHOD=trust: anyone who reaches the port is let in.' >&2
	fi
}

# From 18 on the data lives in /var/lib/postgresql/MAJOR/docker. A database that an
# older image left in its own place must not be silently replaced by an empty one.
# Whoever sets PGDATA has decided for himself, and is not protected.
refuse_old_layout() {
	((PG_MAJOR >= 18)) || return 0
	[[ $PGDATA == "/var/lib/postgresql/$PG_MAJOR/docker" ]] || return 0
	local dir
	local -a found=()
	for dir in /var/lib/postgresql /var/lib/postgresql/data /var/lib/postgresql/*/docker; do
		if [[ -s $dir/PG_VERSION ]]; then found+=("$dir"); fi
	done
	if ((${#found[@]} == 0)) && mountpoint -q /var/lib/postgresql/data; then
		found+=('/var/lib/postgresql/data (unused mount/volume)')
	fi
	((${#found[@]} == 0)) && return 0
	die "Error: in 18+, these Docker images are configured to store database data in a" \
		"       format which is compatible with \"pg_ctlcluster\": a directory for each major" \
		"       version, so that \"pg_upgrade --link\" never crosses a mount point." \
		"" \
		"       There is PostgreSQL data in:" \
		"         ${found[*]}" \
		"" \
		"       Mount a single volume at /var/lib/postgresql and upgrade the data, or set" \
		"       PGDATA to say that another place is meant."
}

initialise() {
	# initdb wants a name for the user it runs as, which --user need not give it.
	if ! getent passwd "$EUID" >/dev/null; then
		local wrapper
		wrapper=$(find /usr/lib -name libnss_wrapper.so -print -quit)
		if [[ -n $wrapper ]]; then
			NSS_WRAPPER_PASSWD=$(mktemp)
			NSS_WRAPPER_GROUP=$(mktemp)
			export NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP LD_PRELOAD=$wrapper
			printf 'postgres:x:%s:%s:PostgreSQL:%s:/bin/false\n' "$EUID" "$(id -g)" "$PGDATA" >"$NSS_WRAPPER_PASSWD"
			printf 'postgres:x:%s:\n' "$(id -g)" >"$NSS_WRAPPER_GROUP"
		fi
	fi
	local -a options=("--username=$POSTGRES_USER")
	if [[ -n ${POSTGRES_INITDB_WALDIR-} ]]; then options+=("--waldir=$POSTGRES_INITDB_WALDIR"); fi
	# POSTGRES_INITDB_ARGS is a line of shell words, quotes and all, hence eval.
	eval 'initdb "${options[@]}" --pwfile=<(printf "%s\n" "$POSTGRES_PASSWORD") '"$POSTGRES_INITDB_ARGS"
	if [[ -n ${NSS_WRAPPER_PASSWD-} ]]; then
		rm -f "$NSS_WRAPPER_PASSWD" "$NSS_WRAPPER_GROUP"
		unset LD_PRELOAD NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
	fi
}

# initdb trusts the loopback addresses; everyone else shows a password, hashed as
# this server hashes it (md5 up to 13, scram-sha-256 from 14).
allow_remote_clients() {
	local method
	[[ $1 == postgres ]] && shift
	method=$(postgres -C password_encryption "$@")
	{
		echo
		if [[ ${POSTGRES_HOST_AUTH_METHOD-} == trust ]]; then
			echo '# POSTGRES_HOST_AUTH_METHOD was trust when this database was made'
		fi
		echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-$method}"
	} >>"$PGDATA/pg_hba.conf"
}

has_psql() {
	command -v psql >/dev/null
}

# psql as the superuser over the socket. Not to the address of an application's
# PGHOST: whatever answers there, it is not the server that is being made.
superuser_psql() {
	PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" \
		--no-password --no-psqlrc "$@"
}

run_sql() {
	superuser_psql --dbname "$POSTGRES_DB" "$@"
}

# A server without psql (the stand-in for 12) makes its database in single-user mode.
create_database_without_psql() {
	[[ $POSTGRES_DB == postgres ]] && return 0
	echo "CREATE DATABASE \"${POSTGRES_DB//\"/\"\"}\"" | postgres --single -D "$PGDATA" postgres >/dev/null
	echo "CREATE DATABASE"
}

create_database() {
	local exists
	exists=$(
		superuser_psql --dbname postgres --set db="$POSTGRES_DB" --tuples-only \
			<<<"SELECT 1 FROM pg_database WHERE datname = :'db';"
	)
	if [[ -z $exists ]]; then
		superuser_psql --dbname postgres --set db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
	fi
}

# The arguments are the server's own, so that settings on the command line hold
# while the scripts run, too. No TCP: nobody may take it for the finished server.
start_temporary_server() {
	[[ $1 == postgres ]] && shift
	set -- "$@" -c listen_addresses= -p "${PGPORT:-5432}"
	PGUSER=${PGUSER:-$POSTGRES_USER} pg_ctl -D "$PGDATA" -w start -o "$(printf '%q ' "$@")"
}

stop_temporary_server() {
	PGUSER=${PGUSER:-postgres} pg_ctl -D "$PGDATA" -m fast -w stop
}

run_init_scripts() {
	local script
	for script in "$INIT_SCRIPTS"/*; do
		case $script in
			*.sh)
				if [[ -x $script ]]; then
					echo "$0: running $script"
					"$script"
				else
					echo "$0: sourcing $script"
					# shellcheck disable=SC1090
					. "$script"
				fi
				;;
			*.sql | *.sql.gz)
				has_psql || die "$0: $script: this image has no psql to run it with"
				echo "$0: running $script"
				if [[ $script == *.gz ]]; then
					gunzip -c "$script" | run_sql
				else
					run_sql -f "$script"
				fi
				;;
			"$INIT_SCRIPTS/*") ;;
			*) echo "$0: ignoring $script" ;;
		esac
	done
}

main() {
	if [[ ${1-} == -* ]]; then set -- postgres "$@"; fi

	if [[ ${1-} == postgres ]] && ! only_asks "$@"; then
		setting POSTGRES_PASSWORD
		setting POSTGRES_USER postgres
		setting POSTGRES_DB "$POSTGRES_USER"
		setting POSTGRES_INITDB_ARGS
		prepare_directories
		if ((EUID == 0)); then exec gosu postgres "${BASH_SOURCE[0]}" "$@"; fi

		if is_initialised; then
			printf '\n%s\n\n' 'PostgreSQL Database directory appears to contain a database; Skipping initialization'
		else
			require_password
			refuse_old_layout
			ls "$INIT_SCRIPTS/" >/dev/null
			initialise
			allow_remote_clients "$@"
			export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
			if ! has_psql; then create_database_without_psql; fi
			start_temporary_server "$@"
			if has_psql; then create_database; fi
			run_init_scripts
			stop_temporary_server
			unset PGPASSWORD
			printf '\n%s\n\n' 'PostgreSQL init process complete; ready for start up.'
		fi
	fi

	exec "$@"
}

main "$@"
