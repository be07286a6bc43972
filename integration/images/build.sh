#!/bin/sh
# Builds the broker images that cannot be pulled from the package registries this machine is set up with.
#   build.sh [--force] elasticmq|kafka|localemu|rabbitmq-current|rabbitmq-old|redis|toxiproxy ...
set -eu
here=$(cd "$(dirname "$0")" && pwd)
force=no

usage() {
  echo "usage: build.sh [--force] elasticmq|kafka|localemu|rabbitmq-current|rabbitmq-old|redis|toxiproxy ..." >&2
  exit 64
}

present() {
  [ "$force" = no ] && docker image inspect "$1" >/dev/null 2>&1
}

build() {
  image=$1
  shift
  if present "$image"; then
    echo "$image is there"
    return
  fi
  started=$(date +%s)
  "$@" "$image"
  echo "$image built in $(($(date +%s) - started)) s"
}

[ $# -gt 0 ] || usage
for argument in "$@"; do
  case $argument in
    --force) force=yes ;;
    # debootstrap has no script for a suite that is newer than itself: sid's works.
    rabbitmq-current) build waybill/rabbitmq:4.3 "$here/rabbitmq.sh" forky sid ;;
    rabbitmq-old) build waybill/rabbitmq:4.0 "$here/rabbitmq.sh" trixie trixie ;;
    elasticmq) build waybill/elasticmq:1.7.1 "$here/elasticmq.sh" 1.7.1 ;;
    kafka) build waybill/kafka:4.3.1 "$here/kafka.sh" 4.3.1 ;;
    localemu) build waybill/localemu:1.3.2 "$here/localemu.sh" 1.3.2 ;;
    redis) build waybill/redis:8.0 "$here/redis.sh" trixie trixie ;;
    toxiproxy) build waybill/toxiproxy:2.12.0 "$here/toxiproxy.sh" 2.12.0 ;;
    *) usage ;;
  esac
done
