#!/bin/bash
# The first start makes the data directory, the database and its user, with a server that nobody can reach; then the
# server runs as the container's first process.
set -euo pipefail
case ${1-} in
	-* | '') set -- mariadbd "$@" ;;
esac
if [[ $1 == mariadbd ]]; then
	install -d -o mysql -g mysql /run/mysqld /var/lib/mysql
	if [[ ! -d /var/lib/mysql/mysql ]]; then
		: "${MARIADB_ROOT_PASSWORD:?is wanted}"
		mariadb-install-db --user=mysql --skip-test-db --auth-root-authentication-method=normal >/dev/null
		{
			echo "SET SESSION sql_log_bin = 0;"
			echo "CREATE USER 'root'@'%' IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';"
			echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
			echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$MARIADB_ROOT_PASSWORD';"
			if [[ -n ${MARIADB_DATABASE-} ]]; then echo "CREATE DATABASE \`$MARIADB_DATABASE\`;"; fi
			if [[ -n ${MARIADB_USER-} ]]; then
				echo "CREATE USER '$MARIADB_USER'@'%' IDENTIFIED BY '${MARIADB_PASSWORD-}';"
				echo "GRANT ALL ON \`${MARIADB_DATABASE-%}\`.* TO '$MARIADB_USER'@'%';"
			fi
		} >/run/mysqld/init.sql
		chown mysql /run/mysqld/init.sql
		set -- "$@" --init-file=/run/mysqld/init.sql
	fi
	exec gosu mysql "$@" --bind-address=0.0.0.0 --skip-name-resolve
fi
exec "$@"
