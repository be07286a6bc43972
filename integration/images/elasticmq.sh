#!/bin/sh
# elasticmq.sh VERSION IMAGE: ElasticMQ's jars from Maven's registry on Debian's Java, with the official image's interface.
set -eu
version=$1
image=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
. "$here/debian-root.sh"
trap 'remove_root "$work"' EXIT
trap 'exit 1' INT TERM

if ! command -v mvn >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends maven >/dev/null
fi
cat >"$work/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>waybill</groupId>
  <artifactId>elasticmq</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.elasticmq</groupId><artifactId>elasticmq-server_2.13</artifactId><version>$version</version></dependency>
  </dependencies>
</project>
POM
mvn --batch-mode --quiet --file "$work/pom.xml" dependency:copy-dependencies -DincludeScope=runtime \
  -DoutputDirectory="$work/libs" >"$work/maven.log" 2>&1 || {
  tail -n 20 "$work/maven.log" >&2
  exit 1
}

make_root "$work" trixie trixie openjdk-21-jre-headless
root=$work/root
mkdir -p "$root/opt/docker/bin"
mv "$work/libs" "$root/opt/docker/lib"
echo 'include classpath("application.conf")' >"$root/opt/elasticmq.conf"
cat >"$root/opt/docker/bin/elasticmq-server" <<'SCRIPT'
#!/bin/sh
exec java $JAVA_OPTS -Dconfig.file=/opt/elasticmq.conf -cp '/opt/docker/lib/*' org.elasticmq.server.Main "$@"
SCRIPT
chmod 755 "$root/opt/docker/bin/elasticmq-server"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/man \
  "$root"/usr/share/locale "$root"/debootstrap "$root"/tmp/* "$root"/usr/lib/jvm/*/lib/server/classes_nocoops.jsa

tar -C "$root" --one-file-system -c . | docker import \
  --change 'ENV LANG=C.UTF-8' \
  --change 'EXPOSE 9324 9325' \
  --change 'USER nobody' \
  --change 'WORKDIR /opt/docker' \
  --change 'ENTRYPOINT ["/opt/docker/bin/elasticmq-server"]' \
  - "$image" >/dev/null
