#!/bin/sh
# kafka.sh VERSION IMAGE: Kafka's jars from Maven's registry on Debian's Java, with those scripts of the official image
# that the harness starts.
set -eu
version=$1
image=$2
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
. "$here/debian-root.sh"
training=waybill-kafka-training-$$
base=

clean_up() {
  docker rm --force --volumes "$training" >/dev/null 2>&1 || true
  # Stays as the lower layer of the image where there is one.
  [ -z "$base" ] || docker rmi "$base" >/dev/null 2>&1 || true
  remove_root "$work"
}
trap clean_up EXIT
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
    <dependency>
      <groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$version</version>
      <exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>
    </dependency>
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
  "$root"/usr/share/locale "$root"/debootstrap "$root"/tmp/* "$root"/usr/lib/jvm/*/lib/server/classes_nocoops.jsa

base=$(tar -C "$root" --one-file-system -c . | docker import \
  --change 'ENV LANG=C.UTF-8' \
  --change 'EXPOSE 9092' \
  --change 'VOLUME /var/lib/kafka/data' \
  --change 'USER kafka' \
  --change 'WORKDIR /opt/kafka' \
  -)

# Like the official image it has a file of the classes that a node loads, which halves the time to start one.
cat >"$work/training.properties" <<'PROPERTIES'
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@localhost:9094
listeners=INNER://:9093,CONTROLLER://:9094
advertised.listeners=INNER://localhost:9093
listener.security.protocol.map=INNER:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INNER
controller.listener.names=CONTROLLER
log.dirs=/var/lib/kafka/data
PROPERTIES
cat >"$work/training.sh" <<'TRAINING'
set -e
export KAFKA_JVM_PERFORMANCE_OPTS='-XX:+UseSerialGC -XX:-UsePerfData'
bin/kafka-storage.sh format --cluster-id d2F5YmlsbC1pbi10ZXN0cw --config config/training.properties
KAFKA_OPTS=-XX:ArchiveClassesAtExit=/opt/kafka/kafka.jsa bin/kafka-server-start.sh config/training.properties &
for _ in $(seq 300); do
  (echo >/dev/tcp/localhost/9093) 2>/dev/null && break
  sleep 0.2
done
sleep 2
kill %1
wait || true
test -s kafka.jsa
rm config/training.*
TRAINING
docker create --name "$training" "$base" bash config/training.sh >/dev/null
docker cp "$work/training.properties" "$training:/opt/kafka/config/"
docker cp "$work/training.sh" "$training:/opt/kafka/config/"
docker start --attach "$training" >"$work/training.log" 2>&1 || {
  tail -n 20 "$work/training.log" >&2
  exit 1
}
docker commit --change 'CMD ["bin/kafka-run-class.sh","kafka.Kafka"]' "$training" "$image" >/dev/null
