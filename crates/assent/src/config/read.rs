//! What the settings mean, and which of them do not go together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use assent_event::topics;
use assent_journal::Topic;
use assent_journal_kafka as kafka;
use assent_journal_kafka::{GroupConfig, KafkaConfig, Mechanism, Replication, Sasl, Security};
use assent_projection::{CacheSettings, S3Credentials, S3Settings};
use assent_server::{ProcessRole, Roles};
use assent_vault_postgres::{Password, PostgresConfig, Tls};

use super::raw::{Fault, RawConfig, VERSION};
use super::secret::{Secret, SecretAt};
use super::value::Value;
use super::{
    Config, JournalKind, Kafka, Profiles, Query, Server, Telemetry, Traces, Vault, VaultKind,
    Workers,
};

impl Config {
    /// Makes sense of the settings.
    ///
    /// # Errors
    /// Every fault, with the place of the setting.
    pub fn read(raw: &RawConfig) -> Result<Self, Vec<Fault>> {
        let mut reader = Reader {
            raw,
            faults: Vec::new(),
        };
        let config = reader.config();
        config.agrees(&mut reader);
        if reader.faults.is_empty() {
            Ok(config)
        } else {
            Err(reader.faults)
        }
    }

    /// Settings that contradict one another.
    fn agrees(&self, reader: &mut Reader<'_>) {
        let embedded_vault = match self.vault.kind {
            VaultKind::Embedded => true,
            VaultKind::Postgres(_) => false,
        };
        if let JournalKind::Kafka(kafka) = &self.journal {
            let kafka = &kafka.journal;
            if kafka.brokers.is_empty() {
                reader.fault(
                    "journal.kafka.brokers",
                    "name the brokers of the Kafka journal",
                );
            }
            if kafka.replication.min_in_sync > kafka.replication.factor {
                reader.fault(
                    "journal.kafka.min_in_sync",
                    "is more than there are copies: journal.kafka.replication",
                );
            }
            if embedded_vault && self.roles != Roles::all() {
                reader.fault(
                    "vault.kind",
                    "the embedded vault belongs to one process; processes that share the work need vault.kind = \"postgres\"",
                );
            }
        }
        let works = self.roles.has(ProcessRole::Worker);
        if works && matches!(self.journal, JournalKind::Embedded) {
            reader.fault(
                "roles",
                "a worker reads what another process writes, so it needs journal.kind = \"kafka\"",
            );
        }
        if (works || !self.workers.sockets.is_empty()) && self.workers.secret.is_none() {
            reader.fault(
                "workers.secret",
                "is needed where there are workers: name the file it stands in, or set the variable",
            );
        }
        if self.query.limits.timeout > self.projection.keep_for {
            reader.fault(
                "projector.keep_for",
                "is shorter than query.timeout: a query could lose its files",
            );
        }
    }
}

/// Whether a connection string has a password in it.
fn holds_password(connection: &str) -> bool {
    let of_url = connection
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'))
        .is_some_and(|(account, _)| account.contains(':'));
    of_url || connection.contains("password")
}

/// Properties of librdkafka that hold a secret.
fn is_secret(property: &str) -> bool {
    ["password", "secret", "key.pem", "token"]
        .iter()
        .any(|word| property.contains(word))
}

/// Reads settings one by one and gathers the faults.
struct Reader<'r> {
    raw: &'r RawConfig,
    faults: Vec<Fault>,
}

impl Reader<'_> {
    fn config(&mut self) -> Config {
        if self.whole("version") != VERSION {
            self.fault(
                "version",
                "this program reads version 1; use a newer program",
            );
        }
        Config {
            data_dir: self.path("data_dir"),
            roles: self.roles(),
            log: self.text("log"),
            server: Server {
                port: self.number("server.port"),
                socket: self.path("server.socket"),
                drain_delay: self.span("server.drain_delay"),
                drain: self.span("server.drain"),
            },
            partitions: self.number_from("journal.partitions", 1),
            journal: self.journal(),
            vault: self.vault(),
            profiles: self.profiles(),
            intake: assent_intake::Limits {
                event_bytes: self.size("intake.event_bytes"),
                body_bytes: self.size("intake.body_bytes"),
                events: self.number_from("intake.events", 1),
                // An event becomes a few at most, unless somebody makes it many.
                records: 4 * self.number_from::<usize>("intake.events", 1),
                remembered: self.number("intake.remembered"),
            },
            projection: assent_projection::Settings {
                batch_records: self.number_from("projector.batch_records", 1),
                batch_bytes: self.size("projector.batch_bytes"),
                max_files: self.number_from("projector.max_files", 2),
                keep_manifests: self.number_from("projector.keep_manifests", 1),
                keep_for: self.span("projector.keep_for"),
                poll: self.span("projector.poll"),
                linger: self.span("projector.linger"),
                ..assent_projection::Settings::default()
            },
            by_consent: self.flag("projector.by_consent"),
            query: self.query(),
            workers: self.workers(),
            telemetry: self.telemetry(),
            today: None,
        }
    }

    fn roles(&mut self) -> Roles {
        let names = self.list("roles");
        names.join(",").parse().unwrap_or_else(|what: String| {
            self.fault("roles", &what);
            Roles::all()
        })
    }

    fn journal(&mut self) -> JournalKind {
        let kind = self.text("journal.kind");
        match kind.as_str() {
            "kafka" => JournalKind::Kafka(Box::new(self.kafka())),
            _ => JournalKind::Embedded,
        }
    }

    fn kafka(&mut self) -> Kafka {
        let brokers = self.list_if_set("journal.kafka.brokers").join(",");
        let partitions = super::topics(self.number_from("journal.partitions", 1));
        let mut journal = KafkaConfig::new(brokers, partitions);
        journal.security = self.security();
        journal.replication = Replication {
            factor: self.number_from("journal.kafka.replication", 1),
            min_in_sync: self.number_from("journal.kafka.min_in_sync", 1),
        };
        journal.verify_settings = self.flag("journal.kafka.verify_settings");
        journal.request_timeout = self.span("journal.kafka.request_timeout");
        journal.append_timeout = self.span("journal.kafka.append_timeout");
        journal.in_flight_bytes = self.size("journal.kafka.in_flight_bytes");
        journal.queue_timeout = self.span("journal.kafka.queue_timeout");
        journal.properties = self.properties();
        let rejects = self.span("journal.kafka.rejects_retention");
        journal
            .retention
            .insert(Topic::new(topics::REJECTS), rejects);
        if let Some(Value::Span(kept)) = self.raw.value("journal.kafka.behaviour_retention") {
            let behaviour = Topic::new(topics::BEHAVIOUR);
            journal.retention.insert(behaviour, *kept);
        }
        let mut group = GroupConfig::new(
            self.text("journal.kafka.group"),
            Topic::new(topics::PROFILE),
        );
        group.session_timeout = self.span("journal.kafka.session_timeout");
        group.max_silence = self.span("journal.kafka.max_silence");
        Kafka { journal, group }
    }

    fn security(&mut self) -> Security {
        let tls = kafka::Tls {
            ca_file: match self.raw.value("journal.kafka.ca_file") {
                Some(Value::Path(file)) => Some(file.clone()),
                _ => None,
            },
        };
        let security = self.text("journal.kafka.security");
        let mechanism = self.text("journal.kafka.sasl_mechanism");
        let name = self
            .text_if_set("journal.kafka.sasl_name")
            .unwrap_or_default();
        match security.as_str() {
            "sasl_tls" => {
                if name.is_empty() {
                    self.fault(
                        "journal.kafka.sasl_name",
                        "is needed for security = \"sasl_tls\"",
                    );
                }
                let mechanism = Mechanism::parse(&mechanism).unwrap_or_else(|error| {
                    self.fault("journal.kafka.sasl_mechanism", &error.to_string());
                    Mechanism::ScramSha512
                });
                let password = self.secret("journal.kafka.sasl_password");
                let password = kafka::Password::new(password.expose());
                let sasl = Sasl {
                    mechanism,
                    name,
                    password,
                };
                Security::SaslTls(tls, sasl)
            }
            "tls" => Security::Tls(tls),
            _ => Security::Plaintext,
        }
    }

    fn properties(&mut self) -> BTreeMap<String, String> {
        const KEY: &str = "journal.kafka.properties";
        let mut properties = BTreeMap::new();
        for property in self.list_if_set(KEY) {
            match property.split_once('=') {
                Some((name, _)) if is_secret(name) => {
                    self.fault(
                        KEY,
                        &format!("{name} holds a secret, which does not stand here"),
                    );
                }
                Some((name, value)) => {
                    properties.insert(name.to_owned(), value.to_owned());
                }
                None => self.fault(KEY, "each is written name=value"),
            }
        }
        properties
    }

    /// A secret that is needed.
    fn secret(&mut self, key: &str) -> Secret {
        let read = match self.raw.secret(key) {
            Some(at) => at.read(),
            None => Err("is needed: name the file it stands in, or set the variable".to_owned()),
        };
        read.unwrap_or_else(|why| {
            self.fault(key, &why);
            Secret::new("")
        })
    }

    fn vault(&mut self) -> Vault {
        let master_key = self.raw.secret("vault.master_key");
        let kind = match self.text("vault.kind").as_str() {
            "postgres" => self.postgres().map_or(VaultKind::Embedded, |postgres| {
                VaultKind::Postgres(Box::new(postgres))
            }),
            _ => VaultKind::Embedded,
        };
        Vault {
            kind,
            master_key: master_key
                .unwrap_or_else(|| SecretAt::File(self.unlisted("vault.master_key"))),
        }
    }

    /// Nothing only beside a fault.
    fn postgres(&mut self) -> Option<PostgresConfig> {
        const CONNECTION: &str = "vault.postgres.connection";
        let Some(connection) = self.text_if_set(CONNECTION) else {
            self.fault(CONNECTION, "is needed for kind = \"postgres\"");
            return None;
        };
        if holds_password(&connection) {
            self.fault(
                CONNECTION,
                "holds a password, which does not stand here: name its file with vault.postgres.password_file",
            );
            return None;
        }
        let tls = match self.raw.value("vault.postgres.authority_file") {
            Some(Value::Path(file)) => Tls::Authority(file.clone()),
            _ => Tls::Off,
        };
        let schema = self.text("vault.postgres.schema");
        let made = PostgresConfig::new(&connection, tls).and_then(|made| made.schema(&schema));
        let mut postgres = match made {
            Ok(postgres) => postgres,
            Err(error) => {
                self.fault(CONNECTION, &error.to_string());
                return None;
            }
        };
        if self.raw.secret("vault.postgres.password").is_some() {
            let password = self.secret("vault.postgres.password");
            postgres = postgres.password(&Password::new(password.expose()));
        }
        postgres.connections = self.number_from("vault.postgres.connections", 1);
        postgres.patience = self.span("vault.postgres.timeout");
        postgres.cached_subjects = self.number("vault.postgres.cached_subjects");
        postgres.cached_keys = self.number("vault.postgres.cached_keys");
        Some(postgres)
    }

    fn profiles(&mut self) -> Profiles {
        match self.text("profiles.kind").as_str() {
            "s3" => Profiles::S3(Box::new((self.bucket(), self.cache()))),
            _ => Profiles::Local(self.path("profiles.dir")),
        }
    }

    fn bucket(&mut self) -> S3Settings {
        let bucket = self.text_if_set("profiles.s3.bucket").unwrap_or_else(|| {
            self.fault("profiles.s3.bucket", "is needed for kind = \"s3\"");
            String::new()
        });
        let access_key_id = self.text_if_set("profiles.s3.access_key_id");
        S3Settings {
            bucket,
            prefix: self.text("profiles.s3.prefix"),
            region: self.text("profiles.s3.region"),
            endpoint: self.text_if_set("profiles.s3.endpoint"),
            allow_http: self.flag("profiles.s3.allow_http"),
            credentials: access_key_id.map(|id| self.key_of_s3(id)),
        }
    }

    fn key_of_s3(&mut self, access_key_id: String) -> S3Credentials {
        const TOKEN: &str = "profiles.s3.session_token";
        let secret = self.secret("profiles.s3.secret_access_key");
        let token = self.raw.secret(TOKEN).map(|_| self.secret(TOKEN));
        S3Credentials {
            access_key_id,
            secret_access_key: secret.expose().to_owned(),
            session_token: token.map(|token| token.expose().to_owned()),
        }
    }

    fn cache(&mut self) -> CacheSettings {
        CacheSettings {
            dir: self.path("profiles.cache.dir"),
            bytes: self.size("profiles.cache.bytes") as u64,
        }
    }

    fn query(&mut self) -> Query {
        Query {
            limits: assent_segment::Limits {
                memory_bytes: self.size("query.memory"),
                timeout: self.span("query.timeout"),
                rows: self.number_from("query.rows", 1),
                bytes: self.size("query.bytes"),
                export_rows: self.number_from("query.export_rows", 1),
                partitions: self.number_from("query.partitions", 1),
                cached_runs: self.number("query.cached_runs"),
                concurrent: self.number_from("query.concurrent", 1),
            },
            permit: assent_permit::Config {
                barrier_timeout: self.span("query.barrier_timeout"),
                cached_uses: self.number_from("query.cached_uses", 1),
                threads: self.number_from("query.verdict_threads", 1),
                ..assent_permit::Config::default()
            },
        }
    }

    fn workers(&mut self) -> Workers {
        const SOCKETS: &str = "workers.sockets";
        const SECRET: &str = "workers.secret";
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        let sockets = self.list_if_set(SOCKETS);
        if !sockets
            .iter()
            .all(|path| path.starts_with('/') && path.chars().all(plain))
        {
            self.fault(
                SOCKETS,
                "each is an absolute path of letters, digits, and / . _ -",
            );
        }
        let secret = self.raw.secret(SECRET).and_then(|_| {
            let text = self.secret(SECRET);
            let secret = assent_segment::Secret::new(text.expose());
            if secret.is_none() {
                self.fault(SECRET, "is shorter than 32 characters");
            }
            secret
        });
        Workers {
            sockets: sockets.into_iter().map(PathBuf::from).collect(),
            rows: self.number_from("workers.rows", 1),
            socket: self.path("workers.socket"),
            secret,
        }
    }

    fn telemetry(&mut self) -> Telemetry {
        let ratio = match self.raw.value("telemetry.traces_ratio") {
            Some(Value::Fraction(ratio)) => *ratio,
            _ => 1.0,
        };
        if !(0.0..=1.0).contains(&ratio) {
            self.fault("telemetry.traces_ratio", "a share is from 0 to 1");
        }
        let endpoint = self.text_if_set("telemetry.traces_endpoint");
        if endpoint
            .as_ref()
            .is_some_and(|endpoint| !endpoint.starts_with("http://"))
        {
            self.fault(
                "telemetry.traces_endpoint",
                "begins with http://; a collector on this machine takes it from there",
            );
        }
        Telemetry {
            metrics: self.flag("telemetry.metrics"),
            traces: endpoint.map(|endpoint| Traces { endpoint, ratio }),
        }
    }

    fn fault(&mut self, key: &str, what: &str) {
        self.faults.push(Fault {
            place: self.raw.origin(key).to_string(),
            what: format!("{key}: {what}"),
        });
    }

    fn text(&mut self, key: &str) -> String {
        match self.raw.value(key) {
            Some(Value::Text(text)) => text.clone(),
            _ => self.unlisted(key),
        }
    }

    fn text_if_set(&self, key: &str) -> Option<String> {
        match self.raw.value(key) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        }
    }

    fn path(&mut self, key: &str) -> PathBuf {
        match self.raw.value(key) {
            Some(Value::Path(path)) => path.clone(),
            _ => self.unlisted(key),
        }
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        match self.raw.value(key) {
            Some(Value::List(items)) => items.clone(),
            _ => self.unlisted(key),
        }
    }

    fn list_if_set(&self, key: &str) -> Vec<String> {
        match self.raw.value(key) {
            Some(Value::List(items)) => items.clone(),
            _ => Vec::new(),
        }
    }

    fn flag(&mut self, key: &str) -> bool {
        match self.raw.value(key) {
            Some(Value::Flag(flag)) => *flag,
            _ => self.unlisted(key),
        }
    }

    fn span(&mut self, key: &str) -> Duration {
        match self.raw.value(key) {
            Some(Value::Span(span)) => *span,
            _ => self.unlisted(key),
        }
    }

    fn whole(&mut self, key: &str) -> u64 {
        match self.raw.value(key) {
            Some(Value::Whole(number)) => *number,
            _ => self.unlisted(key),
        }
    }

    fn size(&mut self, key: &str) -> usize {
        match self.raw.value(key) {
            Some(Value::Size(bytes)) => self.fitting(key, *bytes),
            _ => self.unlisted(key),
        }
    }

    fn number<N: TryFrom<u64> + Default>(&mut self, key: &str) -> N {
        let number = self.whole(key);
        self.fitting(key, number)
    }

    fn number_from<N: TryFrom<u64> + Default>(&mut self, key: &str, least: u64) -> N {
        let number = self.whole(key);
        if number < least {
            self.fault(key, &format!("is at least {least}"));
        }
        self.fitting(key, number)
    }

    fn fitting<N: TryFrom<u64> + Default>(&mut self, key: &str, number: u64) -> N {
        N::try_from(number).unwrap_or_else(|_| {
            self.fault(key, "is too large");
            N::default()
        })
    }

    /// The table of settings lists each with a kind and a default, so this is a slip in the table or here, which the
    /// tests of both would show.
    fn unlisted<T: Default>(&mut self, key: &str) -> T {
        self.fault(
            key,
            "has no value of the kind that is read here; a defect of this program",
        );
        T::default()
    }
}
