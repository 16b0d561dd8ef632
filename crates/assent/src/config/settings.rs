//! Every setting there is: its name, what it can hold, what it is when nobody says, and what it does.
//!
//! The default file, `assent config show`, the names of environment variables and the refusal of what is not listed
//! here are all made from this table; [`super::read`] says what the values mean.

use super::value::Kind;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its name with its section, such as `server.port`.
    pub key: &'static str,
    /// What it can hold.
    pub kind: Kind,
    /// What it is when nobody says.
    pub preset: Preset,
    /// What it does, a line each.
    pub about: &'static [&'static str],
}

/// What a setting is when nobody says.
#[derive(Clone, Copy, Debug)]
pub enum Preset {
    /// This, as it would be typed.
    Is(&'static str),
    /// This file or directory below `data_dir`.
    InDataDir(&'static str),
    /// Nothing; the text shows what could stand there.
    Unset(&'static str),
}

/// A section of the file.
#[derive(Debug)]
pub struct Section {
    /// Its name; empty for what stands before the first section.
    pub name: &'static str,
    /// What it is about, a line each.
    pub about: &'static [&'static str],
}

/// How secrets end in a file: the file names another file.
pub const FILE_SUFFIX: &str = "_file";

impl Setting {
    /// The environment variable that sets it: two underscores stand for the dot, so that the variables which
    /// Kubernetes makes of services (`ASSENT_SERVER_PORT`) are none of ours.
    pub fn variable(&self) -> String {
        format!("ASSENT_{}", self.key.to_uppercase().replace('.', "__"))
    }

    /// The section it stands in.
    pub fn section(&self) -> &'static str {
        self.key.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// Its name within the section, as it stands in a file.
    pub fn name_in_file(&self) -> String {
        let name = self.key.rsplit_once('.').map_or(self.key, |(_, name)| name);
        if self.kind == Kind::Secret {
            return format!("{name}{FILE_SUFFIX}");
        }
        name.to_owned()
    }
}

/// The setting of this name.
pub fn setting(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}

const fn is(
    key: &'static str,
    kind: Kind,
    preset: &'static str,
    about: &'static [&'static str],
) -> Setting {
    Setting {
        key,
        kind,
        preset: Preset::Is(preset),
        about,
    }
}

const fn below(
    key: &'static str,
    kind: Kind,
    preset: &'static str,
    about: &'static [&'static str],
) -> Setting {
    Setting {
        key,
        kind,
        preset: Preset::InDataDir(preset),
        about,
    }
}

const fn unset(
    key: &'static str,
    kind: Kind,
    example: &'static str,
    about: &'static [&'static str],
) -> Setting {
    Setting {
        key,
        kind,
        preset: Preset::Unset(example),
        about,
    }
}

/// The sections, in the order of the file.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "",
        about: &[],
    },
    Section {
        name: "server",
        about: &["What the process listens on. HTTP is on 127.0.0.1 only."],
    },
    Section {
        name: "journal",
        about: &[
            "The log of everything: embedded in this process, or Apache Kafka for several processes.",
        ],
    },
    Section {
        name: "journal.kafka",
        about: &["Only for kind = \"kafka\"."],
    },
    Section {
        name: "vault",
        about: &["Subject ids and keys: what opens the journal, and what erasure destroys."],
    },
    Section {
        name: "vault.postgres",
        about: &["Only for kind = \"postgres\"."],
    },
    Section {
        name: "profiles",
        about: &["What the projector writes and queries read."],
    },
    Section {
        name: "profiles.s3",
        about: &["Only for kind = \"s3\"."],
    },
    Section {
        name: "profiles.cache",
        about: &["Copies of a bucket's files, for kind = \"s3\"."],
    },
    Section {
        name: "intake",
        about: &["What one request to take events in may hold."],
    },
    Section {
        name: "projector",
        about: &["How events are folded into profiles."],
    },
    Section {
        name: "query",
        about: &["What one query may take."],
    },
    Section {
        name: "workers",
        about: &["What queries share out among workers, and what workers listen on."],
    },
    Section {
        name: "telemetry",
        about: &["What the process tells of itself. No personal data is in it."],
    },
];

/// Every setting, by section.
pub const SETTINGS: &[Setting] = &[
    is(
        "version",
        Kind::Whole,
        "1",
        &["The version of this file's format. It must be there."],
    ),
    is(
        "data_dir",
        Kind::Path,
        "assent-data",
        &["Where the embedded stores, the socket and the progress of imports lie."],
    ),
    is(
        "roles",
        Kind::List,
        "all",
        &[
            "What this process does: intake, projector, query, worker; or all, which are the first three. It opens only",
            "what its roles need, and answers only their routes.",
        ],
    ),
    is(
        "log",
        Kind::Text,
        "warn",
        &[
            "What is written to standard error: error, warn, info, debug; or per part, as in warn,assent_intake=debug.",
        ],
    ),
    is(
        "server.port",
        Kind::Whole,
        "7878",
        &["The port on 127.0.0.1; 0 takes any that is free."],
    ),
    below(
        "server.socket",
        Kind::Path,
        "assent.sock",
        &[
            "The owner's socket, over which the command line speaks to this process. Processes that share a data_dir",
            "need one each.",
        ],
    ),
    is(
        "server.drain_delay",
        Kind::Span,
        "0s",
        &[
            "How long /readyz says no before the process stops accepting, once it was told to stop. Behind a load",
            "balancer: longer than it takes to notice.",
        ],
    ),
    is(
        "server.drain",
        Kind::Span,
        "10s",
        &["How long what was accepted may take to end after that."],
    ),
    is(
        "journal.kind",
        Kind::Choice(&["embedded", "kafka"]),
        "embedded",
        &["embedded or kafka."],
    ),
    is(
        "journal.partitions",
        Kind::Whole,
        "4",
        &[
            "Partitions of the topics that are keyed by subject, and so the most projectors that share the work. It",
            "cannot be changed once the topics are there.",
        ],
    ),
    unset(
        "journal.kafka.brokers",
        Kind::List,
        "127.0.0.1:9092",
        &["host:port of some brokers."],
    ),
    is(
        "journal.kafka.replication",
        Kind::Whole,
        "3",
        &[
            "Copies of each record. Topics are created so, and compared with it at the start, like the three that follow.",
        ],
    ),
    is(
        "journal.kafka.min_in_sync",
        Kind::Whole,
        "2",
        &["Copies that must stand before a record is acknowledged."],
    ),
    unset(
        "journal.kafka.behaviour_retention",
        Kind::Span,
        "730d",
        &[
            "How long behaviour is kept in Kafka; for ever when it is not set. Decisions, profiles, definitions and",
            "uses are kept for ever.",
        ],
    ),
    is(
        "journal.kafka.rejects_retention",
        Kind::Span,
        "30d",
        &["How long refused events are kept."],
    ),
    is(
        "journal.kafka.security",
        Kind::Choice(&["plaintext", "tls", "sasl_tls"]),
        "plaintext",
        &[
            "plaintext, for brokers on this machine or on a network of their own; tls; or sasl_tls, which also proves who",
            "we are. Names and passwords go over TLS only.",
        ],
    ),
    unset(
        "journal.kafka.ca_file",
        Kind::Path,
        "/etc/ssl/kafka-ca.pem",
        &[
            "The certificates of the authorities we trust, PEM; those of the system when it is not set.",
        ],
    ),
    is(
        "journal.kafka.sasl_mechanism",
        Kind::Choice(&["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]),
        "SCRAM-SHA-512",
        &["How we prove who we are: PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."],
    ),
    unset(
        "journal.kafka.sasl_name",
        Kind::Text,
        "assent",
        &["The name the brokers know us by."],
    ),
    unset(
        "journal.kafka.sasl_password",
        Kind::Secret,
        "/run/secrets/kafka-password",
        &["What goes with it."],
    ),
    unset(
        "journal.kafka.properties",
        Kind::List,
        "ssl.certificate.location=/etc/ssl/us.pem,ssl.key.location=/etc/ssl/us.key",
        &[
            "Further properties of librdkafka, name=value. They cannot change what the journal's promises rest on, nor hold",
            "secrets.",
        ],
    ),
    is(
        "journal.kafka.verify_settings",
        Kind::Flag,
        "true",
        &[
            "Whether the topics' settings are compared at the start. Say no only where the brokers let nobody read them;",
            "then somebody else must see to them.",
        ],
    ),
    is(
        "journal.kafka.group",
        Kind::Text,
        "assent-projector",
        &["The consumer group by which projectors share the work; one name for each deployment."],
    ),
    is(
        "journal.kafka.session_timeout",
        Kind::Span,
        "10s",
        &[
            "After this without a sign of life a projector's share goes to others. Brokers take six seconds at least.",
        ],
    ),
    is(
        "journal.kafka.max_silence",
        Kind::Span,
        "10m",
        &[
            "After this without a finished step a projector gives its share up: it lives, but is stuck. Longer than a",
            "compaction takes.",
        ],
    ),
    is(
        "journal.kafka.in_flight_bytes",
        Kind::Size,
        "64MiB",
        &["Bytes of records that may be under way to the brokers at once."],
    ),
    is(
        "journal.kafka.queue_timeout",
        Kind::Span,
        "1s",
        &[
            "How long an append waits while so much is under way, before it is refused and the client told to come back.",
        ],
    ),
    is(
        "journal.kafka.request_timeout",
        Kind::Span,
        "5s",
        &["How long a question to the brokers may take before it counts as unanswered."],
    ),
    is(
        "journal.kafka.append_timeout",
        Kind::Span,
        "30s",
        &["How long an append may take before it fails, retries included."],
    ),
    is(
        "vault.kind",
        Kind::Choice(&["embedded", "postgres"]),
        "embedded",
        &["embedded, in this process; or postgres, for several processes."],
    ),
    below(
        "vault.master_key",
        Kind::Secret,
        "master.key",
        &[
            "The master key, 64 hexadecimal digits. The embedded vault makes the file when there is none; processes that",
            "share a vault share its key. Keep a copy elsewhere: without it nothing in the journal can be opened.",
        ],
    ),
    unset(
        "vault.postgres.connection",
        Kind::Text,
        "postgres://assent@127.0.0.1:5432/assent",
        &["Where the database is, without its password."],
    ),
    unset(
        "vault.postgres.password",
        Kind::Secret,
        "/run/secrets/postgres-password",
        &["The password of the database account."],
    ),
    unset(
        "vault.postgres.authority_file",
        Kind::Path,
        "/etc/ssl/postgres-ca.pem",
        &[
            "The certificate of the authority that signed the server's, PEM. Needed unless the server is on this machine.",
        ],
    ),
    is(
        "vault.postgres.schema",
        Kind::Text,
        "assent",
        &["The schema of the database; made when it is missing."],
    ),
    is(
        "vault.postgres.connections",
        Kind::Whole,
        "8",
        &["Connections at most."],
    ),
    is(
        "vault.postgres.timeout",
        Kind::Span,
        "10s",
        &["How long a call may take, waiting for a connection included."],
    ),
    is(
        "vault.postgres.cached_subjects",
        Kind::Whole,
        "200000",
        &["Identifiers whose subject is remembered, about 100 bytes each."],
    ),
    is(
        "vault.postgres.cached_keys",
        Kind::Whole,
        "400000",
        &["Data keys that are remembered, about 120 bytes each."],
    ),
    is(
        "profiles.kind",
        Kind::Choice(&["local", "s3"]),
        "local",
        &["local, a directory; or s3, a bucket that several machines share."],
    ),
    below(
        "profiles.dir",
        Kind::Path,
        "profiles",
        &["The directory, for kind = \"local\". Processes on one machine may share it."],
    ),
    unset(
        "profiles.s3.bucket",
        Kind::Text,
        "profiles",
        &[
            "The bucket. It must honour `If-None-Match: *` when an object is put, which is tried out at the start, and should",
            "have a rule that removes unfinished uploads.",
        ],
    ),
    is(
        "profiles.s3.prefix",
        Kind::Text,
        "",
        &["What the names of all objects begin with."],
    ),
    is(
        "profiles.s3.region",
        Kind::Text,
        "us-east-1",
        &["The region."],
    ),
    unset(
        "profiles.s3.endpoint",
        Kind::Text,
        "https://s3.example.com",
        &["The address of the service; Amazon's in that region when it is not set."],
    ),
    is(
        "profiles.s3.allow_http",
        Kind::Flag,
        "false",
        &[
            "Whether the address may begin with http://. Profiles are in clear, so for tests on one machine only.",
        ],
    ),
    unset(
        "profiles.s3.access_key_id",
        Kind::Text,
        "AKIA0000EXAMPLE",
        &["Who asks; when it is not set, who the machine's metadata service says."],
    ),
    unset(
        "profiles.s3.secret_access_key",
        Kind::Secret,
        "/run/secrets/s3-secret-access-key",
        &["The secret that goes with it."],
    ),
    unset(
        "profiles.s3.session_token",
        Kind::Secret,
        "/run/secrets/s3-session-token",
        &["The token of a key that is valid for some time only."],
    ),
    below(
        "profiles.cache.dir",
        Kind::Path,
        "cache",
        &["A directory of this process alone. The copies are in clear."],
    ),
    is(
        "profiles.cache.bytes",
        Kind::Size,
        "10GiB",
        &["How much is kept; what was used longest ago goes first."],
    ),
    is(
        "intake.event_bytes",
        Kind::Size,
        "32KiB",
        &["Bytes of one event; at most 256KiB."],
    ),
    is(
        "intake.body_bytes",
        Kind::Size,
        "4MiB",
        &["Bytes of one body, inflated."],
    ),
    is(
        "intake.events",
        Kind::Whole,
        "2500",
        &["Events of one body."],
    ),
    is(
        "intake.remembered",
        Kind::Whole,
        "200000",
        &[
            "Message ids remembered to answer \"duplicate\" without work. The fold decides whatever this forgets.",
        ],
    ),
    is(
        "projector.batch_records",
        Kind::Whole,
        "65536",
        &["The most records of one commit; bounds memory."],
    ),
    is(
        "projector.batch_bytes",
        Kind::Size,
        "64MiB",
        &["The most bytes of one commit; bounds memory."],
    ),
    is(
        "projector.linger",
        Kind::Span,
        "200ms",
        &[
            "How long news gather before they are folded, so that a trickle does not make a file each.",
        ],
    ),
    is(
        "projector.poll",
        Kind::Span,
        "5s",
        &["How long the projector waits for news before it looks anyway."],
    ),
    is(
        "projector.max_files",
        Kind::Whole,
        "12",
        &[
            "While there is more to fold, a table of a shard with more files than this is compacted. At rest, nearly all",
            "of a table lies in one file, or in one for each group of people who lie together.",
        ],
    ),
    is(
        "projector.by_consent",
        Kind::Flag,
        "true",
        &[
            "Whether people who are lawful for the same purposes lie together at rest, so that a query reads little of the",
            "others. A process that projects without the role query follows the consent topic for that, which takes memory.",
        ],
    ),
    is(
        "projector.keep_manifests",
        Kind::Whole,
        "8",
        &["Manifests kept, with the files they name."],
    ),
    is(
        "projector.keep_for",
        Kind::Span,
        "10m",
        &["How long a superseded manifest is kept at least. No query may run longer."],
    ),
    is(
        "query.timeout",
        Kind::Span,
        "60s",
        &["From being asked to the last row, waiting for a turn included."],
    ),
    is(
        "query.memory",
        Kind::Size,
        "1GiB",
        &["Memory of operators that hold rows. Nothing is spilled to disk."],
    ),
    is(
        "query.rows",
        Kind::Whole,
        "1000000",
        &["Rows of a result; more is an error, never a silent cut."],
    ),
    is(
        "query.bytes",
        Kind::Size,
        "256MiB",
        &["Bytes of a result, in memory and written out; more is an error as well."],
    ),
    is(
        "query.export_rows",
        Kind::Whole,
        "5000000",
        &[
            "Members or accounts of one export or of a segment refreshed, which read nothing but ids.",
        ],
    ),
    is(
        "query.partitions",
        Kind::Whole,
        "2",
        &["Parts of one query that run side by side."],
    ),
    is(
        "query.concurrent",
        Kind::Whole,
        "4",
        &["Queries that run at once; others wait for their turn."],
    ),
    is(
        "query.cached_runs",
        Kind::Whole,
        "67108864",
        &[
            "Runs of subjects held in memory over all files, 8 bytes each. Plans kept for the next query",
            "take a quarter as many, 12 to 44 bytes each.",
        ],
    ),
    is(
        "query.barrier_timeout",
        Kind::Span,
        "5s",
        &[
            "How long a query waits until everything acknowledged before it is applied; then it is refused.",
        ],
    ),
    is(
        "query.cached_uses",
        Kind::Whole,
        "256",
        &["Uses (purpose, channel, recipient) whose verdicts are kept up to date."],
    ),
    is(
        "query.verdict_threads",
        Kind::Whole,
        "4",
        &["Threads that work out the verdicts of a use nobody asked about before."],
    ),
    unset(
        "workers.sockets",
        Kind::List,
        "/var/lib/assent/worker-1/worker.sock",
        &[
            "For the role query: the sockets of the workers that help with large queries, as absolute paths.",
        ],
    ),
    is(
        "workers.rows",
        Kind::Whole,
        "1000000",
        &[
            "A query that reads more lawful rows of a table than this is shared out, to a worker for every so many rows.",
        ],
    ),
    below(
        "workers.socket",
        Kind::Path,
        "worker.sock",
        &["For the role worker: where it listens. Only the owner of the process can open it."],
    ),
    unset(
        "workers.secret",
        Kind::Secret,
        "/run/secrets/workers",
        &[
            "What queries and their workers share, 32 characters or more. Whoever knows it can have lawful rows read.",
        ],
    ),
    is(
        "telemetry.metrics",
        Kind::Flag,
        "true",
        &["Whether GET /metrics answers, in the format of Prometheus."],
    ),
    unset(
        "telemetry.traces_endpoint",
        Kind::Text,
        "http://127.0.0.1:4318/v1/traces",
        &["Where OpenTelemetry traces go (OTLP over HTTP, protobuf); nowhere when it is not set."],
    ),
    is(
        "telemetry.traces_ratio",
        Kind::Fraction,
        "1.0",
        &["The share of requests that are traced, 0 to 1."],
    ),
];
