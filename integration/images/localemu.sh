#!/bin/sh
# localemu.sh VERSION IMAGE: LocalEmu from Python's registry on Debian's Python, with the official image's interface.
set -eu
version=$1
image=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
. "$here/debian-root.sh"
trap 'remove_root "$work"' EXIT
trap 'exit 1' INT TERM

# Under an older Python than trixie's 3.13 it answers each call with an error.
make_root "$work" trixie trixie python3-venv,ca-certificates
root=$work/root
cp /etc/resolv.conf "$root/etc/resolv.conf"
# pip asks where this machine's own would.
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/" 2>/dev/null || true
for settings in "${XDG_CONFIG_HOME:-$HOME/.config}/pip/pip.conf" "$HOME/.pip/pip.conf" /etc/pip.conf; do
  [ -e "$settings" ] || continue
  cp "$settings" "$work/root/etc/pip.conf"
  break
done
venv=/opt/code/localemu/.venv
mkdir -p "$root/opt/code/localemu"
chroot "$root" python3 -m venv "$venv"
chroot "$root" env HOME=/root "$venv/bin/pip" install --quiet --no-cache-dir --no-compile "localemu==$version" \
  >"$work/pip.log" 2>&1 || {
  tail -n 20 "$work/pip.log" >&2
  exit 1
}
rm -f "$root/etc/pip.conf"

# What the services of the tests never load.
packages=$(echo "$root$venv"/lib/python3.*/site-packages)
rm -rf "$packages/pip" "$packages"/pip-*
chroot "$root" "$venv/bin/python" -m compileall -q -j 2 "${packages#"$root"}" >/dev/null 2>&1 || true
chroot "$root" useradd --create-home localemu
mkdir -p "$root/var/lib/localemu" "$root/usr/lib/localemu" "$root/etc/localemu/conf.d" "$root/etc/localemu/init"
cat >"$root/usr/local/bin/docker-entrypoint.sh" <<'SCRIPT'
#!/bin/sh
cd /opt/code/localemu
export HOME=/home/localemu
exec setpriv --reuid=localemu --regid=localemu --init-groups .venv/bin/python -m localemu.runtime.main
SCRIPT
chmod 755 "$root/usr/local/bin/docker-entrypoint.sh"
chroot "$root" chown -R localemu:localemu /var/lib/localemu /usr/lib/localemu /etc/localemu
# Like the official image it has a catalogue of services, which is made at the first start otherwise.
chroot "$root" env -C /opt/code/localemu HOME=/home/localemu OVERRIDE_IN_DOCKER=1 setpriv --reuid=localemu --regid=localemu --init-groups \
  .venv/bin/python -m localemu.aws.spec >/dev/null
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/man \
  "$root"/usr/share/locale "$root"/debootstrap "$root"/tmp/*

tar -C "$root" --one-file-system -c . | docker import \
  --change 'ENV LANG=C.UTF-8 PYTHONUNBUFFERED=1' \
  --change 'EXPOSE 4566' \
  --change 'VOLUME /var/lib/localemu' \
  --change 'ENTRYPOINT ["docker-entrypoint.sh"]' \
  - "$image" >/dev/null
