#!/bin/sh
# rabbitmq.sh SUITE DEBOOTSTRAP_SCRIPT IMAGE: Debian's rabbitmq-server of that suite, with the official image's interface.
set -eu
suite=$1
script=$2
image=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
. "$here/debian-root.sh"
trap 'remove_root "$work"' EXIT
trap 'exit 1' INT TERM

make_root "$work" "$suite" "$script" rabbitmq-server
root=$work/root
mkdir -p "$root/etc/rabbitmq/conf.d"
cat >"$root/etc/rabbitmq/conf.d/10-defaults.conf" <<'CONFIGURATION'
loopback_users = none
log.console = true
CONFIGURATION
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/man \
  "$root"/usr/share/locale "$root"/debootstrap

# Debian's own wrapper would stay in front of the broker as a shell that does not pass SIGTERM on.
command='CMD ["setpriv","--reuid=rabbitmq","--regid=rabbitmq","--init-groups","/usr/lib/rabbitmq/bin/rabbitmq-server"]'
tar -C "$root" --one-file-system -c . | docker import \
  --change 'ENV HOME=/var/lib/rabbitmq LANG=C.UTF-8' \
  --change 'EXPOSE 5672 15672' \
  --change 'VOLUME /var/lib/rabbitmq' \
  --change "$command" \
  - "$image" >/dev/null
