#!/bin/sh
# toxiproxy.sh VERSION IMAGE: Toxiproxy from the Go module proxy, laid out like the official image.
set -eu
version=$1
image=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
. "$here/debian-root.sh"
trap 'remove_root "$work"' EXIT
trap 'exit 1' INT TERM

# Toxiproxy 2.12 needs Go 1.23.
has_go() {
  command -v go >/dev/null && [ "$(go env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')" -ge 23 ]
}

mkdir "$work/out"
set -- go install -ldflags "-s -w -X github.com/Shopify/toxiproxy/v2.Version=$version" \
  "github.com/Shopify/toxiproxy/v2/cmd/server@v$version"
if has_go; then
  env GOBIN="$work/out" CGO_ENABLED=0 "$@"
else
  echo "no Go 1.23 here: takes Debian's in a root of its own"
  make_root "$work" trixie trixie golang-go,ca-certificates
  cp /etc/resolv.conf "$work/root/etc/resolv.conf"
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/" 2>/dev/null || true
  # Go finds its own files through /proc.
  mount -t proc proc "$work/root/proc"
  chroot "$work/root" env HOME=/root GOBIN=/out CGO_ENABLED=0 "$@"
  mv "$work/root/out/server" "$work/out/server"
fi
mv "$work/out/server" "$work/out/toxiproxy"

tar -C "$work/out" -c . | docker import \
  --change 'EXPOSE 8474' \
  --change 'ENTRYPOINT ["/toxiproxy"]' \
  --change 'CMD ["-host=0.0.0.0"]' \
  - "$image" >/dev/null
