# Sourced: makes and removes the root file system of a Debian suite.

# make_root WORK SUITE DEBOOTSTRAP_SCRIPT PACKAGES: makes WORK/root, tells why when it cannot.
make_root() {
  if ! command -v debootstrap >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
  fi
  mirror=$("$here/debian-mirror.sh")
  if ! debootstrap --variant=minbase --include="$4" "$2" "$1/root" "$mirror" \
    "/usr/share/debootstrap/scripts/$3" >"$1/debootstrap.log" 2>&1; then
    tail -n 20 "$1/debootstrap.log" "$1/root/debootstrap/debootstrap.log" >&2 || true
    return 1
  fi
}

# remove_root WORK: a debootstrap that was interrupted leaves /proc and /sys mounted below the root.
remove_root() {
  umount "$1/root/proc" "$1/root/sys" 2>/dev/null || true
  rm -rf --one-file-system "$1"
}
