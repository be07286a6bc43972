#!/bin/sh
# kafka.sh VERSION IMAGE: Kafka's jars from Maven's registry on Debian's Java, with those scripts of the official image
# that the harness starts.
set -eu
version=$1
image=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
. "$here/debian-root.sh"
trap 'docker rm --force "kafka-$$" >/dev/null 2>&1 || true; remove_root "$work"' EXIT
trap 'exit 1' INT TERM

if ! command -v mvn >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends maven >/dev/null
fi
cat >"$work/pom.xml" <<POM
<project>
  <modelVersion>4.0.0</modelVersion>
  <groupId>waybill</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
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
kafka=$root/opt/kafka
mkdir -p "$kafka/bin" "$kafka/config" "$root/var/lib/kafka/data"
mv "$work/libs" "$kafka/libs"
cat >"$kafka/bin/kafka-run-class.sh" <<'SCRIPT'
#!/bin/sh
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} $KAFKA_JVM_PERFORMANCE_OPTS -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
  -cp '/opt/kafka/libs/*' $KAFKA_OPTS "$@"
SCRIPT
entry() {
  printf '#!/bin/sh\nexec /opt/kafka/bin/kafka-run-class.sh %s "$@"\n' "$2" >"$kafka/bin/$1.sh"
}
entry kafka-server-start kafka.Kafka
entry kafka-storage kafka.tools.StorageTool
entry kafka-leader-election org.apache.kafka.tools.LeaderElectionCommand
chmod 755 "$kafka"/bin/*.sh
chroot "$root" useradd --system --home-dir /opt/kafka kafka
chroot "$root" chown -R kafka:kafka /opt/kafka /var/lib/kafka
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc "$root"/usr/share/man \
  "$root"/usr/share/locale "$root"/debootstrap "$root"/usr/lib/jvm/*/lib/server/classes_nocoops.jsa

tar -C "$root" --one-file-system -c . | docker import \
  --change 'ENV LANG=C.UTF-8' \
  --change 'EXPOSE 9092' \
  --change 'VOLUME /var/lib/kafka/data' \
  --change 'USER kafka' \
  --change 'WORKDIR /opt/kafka' \
  - "$image" >/dev/null
