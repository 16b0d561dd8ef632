//! What a broker for tests is told: its `server.properties`.

use super::certificates::{self, Certificates};
use super::node::Node;

/// Who may speak to the secure listener, by either mechanism. `docs/kafka-for-tests.md` names both.
pub(super) const NAME: &str = "assent";
/// The password that goes with [`NAME`].
pub(super) const PASSWORD: &str = certificates::PASSWORD;

/// The whole file of one node of `all`.
pub(super) fn properties(node: &Node, all: &[Node], certificates: Option<&Certificates>) -> String {
    let voters: Vec<String> = all
        .iter()
        .map(|node| format!("{}@{}", node.number, node.controller_address()))
        .collect();
    let secure_listener = match certificates {
        Some(_) => format!(",SECURE://{}", node.secure_address()),
        None => String::new(),
    };
    // One broker is also reached through a proxy, where a test starts one.
    let (proxied_listener, proxied_clients) = match all.len() {
        1 => (
            format!(",PROXIED://{}", node.proxied_address()),
            format!(",PROXIED://{}", node.proxy_address()),
        ),
        _ => Default::default(),
    };
    let text = COMMON
        .replace("{NUMBER}", &node.number.to_string())
        .replace("{VOTERS}", &voters.join(","))
        .replace("{PLAINTEXT}", &node.address())
        .replace("{CONTROLLER}", &node.controller_address())
        .replace("{SECURE}", &secure_listener)
        .replace("{PROXIED}", &proxied_listener)
        .replace("{PROXY}", &proxied_clients)
        .replace("{DATA}", &node.data().to_string_lossy());
    let copies = match all.len() {
        1 => ALONE.to_owned(),
        _ => TOGETHER.to_owned(),
    };
    text + &copies + &certificates.map(secure).unwrap_or_default()
}

fn secure(certificates: &Certificates) -> String {
    SECURE
        .replace("{KEYSTORE}", &certificates.keystore.to_string_lossy())
        .replace("{KEYSTORE_PASSWORD}", certificates::PASSWORD)
        .replace("{NAME}", NAME)
        .replace("{PASSWORD}", PASSWORD)
}

/// A broker that cannot heartbeat is given up after four seconds instead of nine, a copy that lags
/// after five instead of thirty: tests wait for both. Consumer groups may set short session timeouts.
const COMMON: &str = "\
process.roles=broker,controller
node.id={NUMBER}
controller.quorum.voters={VOTERS}
listeners=PLAINTEXT://{PLAINTEXT},CONTROLLER://{CONTROLLER}{SECURE}{PROXIED}
advertised.listeners=PLAINTEXT://{PLAINTEXT}{SECURE}{PROXY}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,SECURE:SASL_SSL
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={DATA}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
replica.lag.time.max.ms=5000
num.network.threads=2
num.io.threads=4
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=16777216
offsets.topic.num.partitions=3
transaction.state.log.num.partitions=3
";

const ALONE: &str = "\
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
";

const TOGETHER: &str = "\
default.replication.factor=3
min.insync.replicas=2
unclean.leader.election.enable=false
offsets.topic.replication.factor=3
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2
";

/// The SCRAM credentials themselves are written when the storage is formatted.
const SECURE: &str = "\
listener.name.secure.ssl.keystore.type=PKCS12
listener.name.secure.ssl.keystore.location={KEYSTORE}
listener.name.secure.ssl.keystore.password={KEYSTORE_PASSWORD}
listener.name.secure.sasl.enabled.mechanisms=SCRAM-SHA-256,PLAIN
listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{NAME}=\"{PASSWORD}\";
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_settings_are_complete() {
        let one = [Node::new(Path::new("d"), 1, 4_000)];
        let text = properties(&one[0], &one, None);
        assert!(!text.contains('{'), "{text}");
        assert!(text.contains("controller.quorum.voters=1@127.0.0.1:4001\n"));
        assert!(text.contains(
            "advertised.listeners=PLAINTEXT://127.0.0.1:4000,PROXIED://127.0.0.1:4007\n"
        ));
        assert!(text.contains("offsets.topic.replication.factor=1\n"));

        let three = [1, 2, 3].map(|n| Node::new(Path::new("d"), n, 4_000 + 10 * n));
        let certificates = certificates::paths(Path::new("d"));
        let text = properties(&three[1], &three, Some(&certificates));
        assert!(!text.contains('{'), "{text}");
        assert!(text.contains("node.id=2\n"));
        assert!(text.contains("=1@127.0.0.1:4011,2@127.0.0.1:4021,3@127.0.0.1:4031\n"));
        assert!(text.contains("min.insync.replicas=2\n"));
        assert!(text.contains(",SECURE://127.0.0.1:4022\n"));
        assert!(!text.contains(",PROXIED://"), "{text}");
        assert!(text.contains("user_assent=\"only-for-tests\";\n"));
    }
}
