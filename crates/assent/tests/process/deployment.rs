//! The files of the deployment hold together: what is mounted is there, what is asked for is told, what is drawn is
//! measured. Containers themselves are not started here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::running::{assent_bare, repository};

fn text(path: &str) -> String {
    let file = repository().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn services() -> BTreeMap<String, Value> {
    let compose = yaml("docker-compose.yml");
    let services = compose["services"].as_object().unwrap();
    services
        .iter()
        .map(|(name, service)| (name.clone(), service.clone()))
        .collect()
}

fn words(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

/// A service that ends by itself: others wait for its success.
fn is_a_chore(name: &str, services: &BTreeMap<String, Value>) -> bool {
    services
        .values()
        .any(|other| other["depends_on"][name]["condition"] == "service_completed_successfully")
}

#[test]
fn services_wait_for_one_another_by_what_they_have() {
    let services = services();
    for (name, service) in &services {
        let chore = is_a_chore(name, &services);
        assert_eq!(
            service["healthcheck"]["test"].is_null(),
            chore,
            "{name}: a service that goes on is healthy or not, a chore ends"
        );
        assert_eq!(service["restart"].is_null(), chore, "{name}");
        for (other, how) in service["depends_on"].as_object().into_iter().flatten() {
            assert!(services.contains_key(other), "{name} waits for {other}");
            let wanted = match is_a_chore(other, &services) {
                true => "service_completed_successfully",
                false => "service_healthy",
            };
            assert_eq!(how["condition"], wanted, "{name} waits for {other}");
        }
        // Somebody else's image is a version of it, never whatever is newest.
        let image = service["image"].as_str().unwrap();
        let pinned = image
            .split_once(':')
            .is_some_and(|(_, tag)| tag.contains(|digit: char| digit.is_ascii_digit()));
        assert!(pinned || image == "assent", "{name}: {image}");
    }
}

#[test]
fn what_is_mounted_is_there() {
    let compose = yaml("docker-compose.yml");
    let volumes = compose["volumes"].as_object().unwrap();
    let mut used = BTreeSet::new();
    for (name, service) in services() {
        for volume in words(&service["volumes"]) {
            let source = volume.split(':').next().unwrap();
            match source.strip_prefix("./") {
                Some(path) => {
                    assert!(repository().join(path).exists(), "{name}: {volume}");
                    assert!(volume.ends_with(":ro"), "{name} may write {volume}");
                }
                None => {
                    assert!(volumes.contains_key(source), "{name}: {volume}");
                    used.insert(source.to_owned());
                }
            }
        }
    }
    let declared: BTreeSet<String> = volumes.keys().cloned().collect();
    assert_eq!(used, declared);
}

#[test]
fn nothing_listens_beyond_this_machine() {
    for (name, service) in services() {
        assert!(service["ports"].is_null(), "{name} publishes ports");
        let said = format!("{} {}", service["command"], service["environment"]);
        assert!(
            !said.contains("0.0.0.0") && !said.contains("//:"),
            "{name}: {said}"
        );
        let network = service["network_mode"].as_str();
        assert!(
            matches!(network, Some("host" | "none")),
            "{name}: {network:?}"
        );
    }
}

#[test]
fn the_settings_are_assents_and_the_addresses_those_of_the_services() {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("assent.toml");
    std::fs::write(&settings, text("deploy/assent.toml")).unwrap();
    let secrets = folder.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    make_secrets(&secrets);
    let settings = settings.to_string_lossy();
    let args = ["--config", &settings, "config", "show", "--format", "json"];
    let services = services();
    let mut ports = BTreeMap::new();
    for role in ["intake", "projector", "query"] {
        let told = services[role]["environment"].as_object().unwrap();
        let environment: Vec<(&str, &str)> = told
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
            .collect();
        let output = assent_bare(folder.path(), &environment, &args);
        assert!(output.status.success(), "{role}: {output:?}");
        let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
        let value = |key: &str| {
            let settings = shown.as_array().unwrap();
            let one = settings.iter().find(|one| one["key"] == key);
            one.unwrap_or_else(|| panic!("{key}"))["value"].clone()
        };
        assert_eq!(value("roles"), serde_json::json!([role]));
        ports.insert(role.to_owned(), value("server.port"));
        let brokers = value("journal.kafka.brokers");
        for (number, broker) in words(&brokers).into_iter().enumerate() {
            let service = &services[&format!("kafka-{}", number + 1)];
            let advertised = &service["environment"]["KAFKA_ADVERTISED_LISTENERS"];
            assert_eq!(*advertised, format!("PLAINTEXT://{broker}"));
        }
        let objects = format!("{}", services["objects"]["command"]);
        let endpoint = value("profiles.s3.endpoint");
        let address = endpoint.as_str().unwrap().strip_prefix("http://").unwrap();
        assert!(objects.contains(address), "{objects}");
        let database = value("vault.postgres.connection");
        let account = &services["postgres"]["environment"];
        let expected = format!(
            "postgres://{}@127.0.0.1:5432/{}",
            account["POSTGRES_USER"].as_str().unwrap(),
            account["POSTGRES_DB"].as_str().unwrap()
        );
        assert_eq!(database, expected);
    }
    // Prometheus asks each of them.
    let scraped = yaml("deploy/prometheus.yml");
    let mut asked = BTreeMap::new();
    for group in scraped["scrape_configs"][0]["static_configs"]
        .as_array()
        .unwrap()
    {
        let role = group["labels"]["role"].as_str().unwrap();
        let target = words(&group["targets"])[0].rsplit_once(':').unwrap().1;
        asked.insert(role.to_owned(), Value::from(target.parse::<u64>().unwrap()));
    }
    assert_eq!(asked, ports);
}

#[test]
fn the_dashboard_draws_what_is_measured() {
    let dashboard: Value =
        serde_json::from_str(&text("deploy/grafana/dashboards/assent.json")).unwrap();
    let golden = text("crates/assent/tests/golden/metrics.txt");
    let mut measured = BTreeSet::new();
    for line in golden.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next()) {
            (Some("histogram"), Some(name)) => {
                measured.extend(["_bucket", "_count", "_sum"].map(|end| format!("{name}{end}")));
            }
            (Some(_), Some(name)) => {
                measured.insert(name.to_owned());
            }
            _ => {}
        }
    }
    let mut drawn = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().unwrap();
            let names = query.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            drawn.extend(
                names
                    .filter(|name| name.starts_with("assent_"))
                    .map(str::to_owned),
            );
        }
    }
    assert!(drawn.len() > 10, "{drawn:?}");
    let unknown: Vec<&String> = drawn.difference(&measured).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn make_secrets(directory: &Path) {
    let script = repository().join("deploy/make-secrets.sh");
    let mut shell = std::process::Command::new("sh");
    let status = shell.arg(script).arg(directory).status().unwrap();
    assert!(status.success());
}

#[test]
fn secrets_are_made_once_and_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let make = || {
        make_secrets(folder.path());
        let read = |name: &str| {
            let file = folder.path().join(name);
            let mode = std::fs::metadata(&file).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
            std::fs::read_to_string(&file).unwrap()
        };
        ["master.key", "postgres", "objects"].map(read)
    };
    let made = make();
    for secret in &made {
        assert_eq!(secret.len(), 64);
        assert!(secret.chars().all(|digit| digit.is_ascii_hexdigit()));
    }
    assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), 3);
    assert_eq!(make(), made);
}
