#!/bin/bash
# As Nautobot's image does at every start: bring the database up to date, then run the
# command. NAUTOBOT_DOCKER_SKIP_INIT=true leaves the database alone.
set -e

skip=${NAUTOBOT_DOCKER_SKIP_INIT-false}
if [[ ${skip,,} == false ]]; then
	waited_s=0
	until nautobot-server post_upgrade; do
		if ((waited_s >= ${MAX_DB_WAIT_TIME-30})); then
			echo "Waited ${MAX_DB_WAIT_TIME-30}s or more for the DB to become ready."
			exit 1
		fi
		sleep "${DB_WAIT_TIMEOUT-3}"
		waited_s=$((waited_s + ${DB_WAIT_TIMEOUT-3}))
	done
fi

exec "$@"
