#!/bin/bash
# Entrypoint of the InvenTree-shaped image: update first when asked to, then the command.
set -e

case ${INVENTREE_AUTO_UPDATE,,} in
	true | yes | 1)
		# No backup here: a container that restarts all night would fill the disk.
		echo "INVENTREE_AUTO_UPDATE: updating before the start"
		invoke update --skip-backup
		;;
esac

exec "$@"
