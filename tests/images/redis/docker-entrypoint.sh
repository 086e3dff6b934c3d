#!/bin/sh
# Other containers may connect without a password, as with the official image.
set -e
case $1 in
	-* | '') set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
	set -- "$@" --protected-mode no
	if [ "$(id -u)" = 0 ]; then
		chown redis:redis .
		exec gosu redis "$@"
	fi
fi
exec "$@"
