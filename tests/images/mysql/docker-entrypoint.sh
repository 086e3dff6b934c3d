#!/bin/bash
# The first start makes the data directory, the database and its user, with a server that nobody can reach; then the
# server runs as the container's first process.
set -euo pipefail
case ${1-} in
	-* | '') set -- mysqld "$@" ;;
esac

# value NAME: the variable, or the content of the file that NAME_FILE names.
value() {
	local file=${1}_FILE
	if [[ -n ${!file-} ]]; then cat "${!file}"; else printf '%s' "${!1-}"; fi
}

if [[ $1 == mysqld ]]; then
	install -d -o mysql -g mysql /run/mysqld /var/lib/mysql
	if [[ ! -d /var/lib/mysql/mysql ]]; then
		root=$(value MYSQL_ROOT_PASSWORD)
		database=$(value MYSQL_DATABASE)
		user=$(value MYSQL_USER)
		: "${root:?MYSQL_ROOT_PASSWORD is wanted}"
		mysqld --initialize-insecure --user=mysql --datadir=/var/lib/mysql
		{
			echo "CREATE USER 'root'@'%' IDENTIFIED BY '$root';"
			echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
			echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$root';"
			if [[ -n $database ]]; then echo "CREATE DATABASE \`$database\`;"; fi
			if [[ -n $user ]]; then
				echo "CREATE USER '$user'@'%' IDENTIFIED BY '$(value MYSQL_PASSWORD)';"
				if [[ -n $database ]]; then echo "GRANT ALL ON \`${database//_/\\_}\`.* TO '$user'@'%';"; fi
			fi
		} >/run/mysqld/init.sql
		chown mysql /run/mysqld/init.sql
		set -- "$@" --init-file=/run/mysqld/init.sql
	fi
	exec gosu mysql "$@" --datadir=/var/lib/mysql --socket=/run/mysqld/mysqld.sock --bind-address=0.0.0.0 --skip-name-resolve
fi
exec "$@"
