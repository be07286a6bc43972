#!/bin/sh
# redis.sh SUITE DEBOOTSTRAP_SCRIPT IMAGE: Debian's redis-server of that suite, with the official image's interface.
set -eu
suite=$1
script=$2
image=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
. "$here/debian-root.sh"
trap 'remove_root "$work"' EXIT
trap 'exit 1' INT TERM

make_root "$work" "$suite" "$script" redis-server
root=$work/root
mkdir -p "$root/data"
chroot "$root" chown redis:redis /data
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/man \
  "$root"/usr/share/locale "$root"/debootstrap

tar -C "$root" --one-file-system -c . | docker import \
  --change 'EXPOSE 6379' \
  --change 'VOLUME /data' \
  --change 'WORKDIR /data' \
  --change 'ENTRYPOINT ["setpriv","--reuid=redis","--regid=redis","--init-groups"]' \
  --change 'CMD ["redis-server"]' \
  - "$image" >/dev/null
