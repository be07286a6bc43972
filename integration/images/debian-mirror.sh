#!/bin/sh
# Prints the Debian mirror of this machine: WAYBILL_DEBIAN_MIRROR, else the first one in its apt sources.
set -eu

deb822() {
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -e "$file" ] || continue
    sed -n 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' "$file"
  done
}

one_line() {
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -e "$file" ] || continue
    sed -n 's/^deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' "$file"
  done
}

mirror=${WAYBILL_DEBIAN_MIRROR:-$({ deb822; one_line; } | grep '/debian/*$' | head -n 1)}
if [ -z "$mirror" ]; then
  echo "No Debian mirror in this machine's apt sources: set WAYBILL_DEBIAN_MIRROR." >&2
  exit 1
fi
echo "$mirror"
