//! Who counts more, what is refused and how, and that the table, the default file and the meaning agree.

use std::path::{Path, PathBuf};
use std::time::Duration;

use assent_journal_kafka::{Mechanism, Password, Sasl, Security, Tls};
use assent_server::{ProcessRole, Roles};

use super::raw::Origin;
use super::settings::{Preset, SECTIONS, SETTINGS};
use super::value::Kind;
use super::{Config, JournalKind, Profiles, RawConfig, Sources, VaultKind, show};

/// A folder with a configuration file of this text.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        std::fs::write(folder.file(), text).unwrap();
        folder
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("assent.toml")
    }

    fn sources(&self) -> Sources {
        Sources {
            file: Some(self.file()),
            ..Sources::default()
        }
    }

    /// The faults of this file, without the folder's name.
    fn faults(&self) -> Vec<String> {
        faults(&self.sources())
            .iter()
            .map(|fault| fault.replace(&format!("{}/", self.0.path().display()), ""))
            .collect()
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    match Config::load(sources) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn environment(variables: &[(&str, &str)]) -> Sources {
    Sources {
        environment: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Sources::default()
    }
}

#[test]
fn flags_count_more_than_the_environment_than_the_file_than_the_default() {
    let folder =
        Folder::with("version = 1\n[server]\nport = 2\ndrain = \"3s\"\n[query]\nrows = 4\n");
    let mut sources = folder.sources();
    sources.environment =
        environment(&[("ASSENT_SERVER__PORT", "5"), ("ASSENT_SERVER__DRAIN", "6s")]).environment;
    sources.flags = vec![("server.port", "--port", "7".to_owned())];
    let raw = RawConfig::layered(&sources).unwrap();
    let origin = |key| raw.origin(key);
    let value = |key| raw.value(key).map(ToString::to_string);
    assert_eq!(value("server.port").as_deref(), Some("7"));
    assert_eq!(origin("server.port"), Origin::Flag("--port"));
    assert_eq!(value("server.drain").as_deref(), Some("\"6s\""));
    let variable = "ASSENT_SERVER__DRAIN".to_owned();
    assert_eq!(origin("server.drain"), Origin::Environment(variable));
    assert_eq!(value("query.rows").as_deref(), Some("4"));
    let (path, line) = (folder.file(), 6);
    assert_eq!(origin("query.rows"), Origin::File { path, line });
    assert_eq!(value("query.concurrent").as_deref(), Some("4"));
    assert_eq!(origin("query.concurrent"), Origin::Default);

    let config = Config::load(&sources).unwrap();
    assert_eq!(config.server.port, 7);
    assert_eq!(config.server.drain, Duration::from_secs(6));
    assert_eq!(config.query.limits.rows, 4);
}

#[test]
fn what_is_not_a_setting_is_refused_with_its_place_and_what_may_be_meant() {
    let folder = Folder::with(
        "version = 1\nprot = 1\n[server]\nprot = 1\n[querry]\nrows = 1\n[journal]\nbrokers = []\nwidth = 9\n",
    );
    assert_eq!(
        folder.faults(),
        [
            "assent.toml:2:1: there is no setting `prot`; did you mean `server.port`?",
            "assent.toml:4:1: there is no setting `server.prot`; did you mean `server.port`?",
            "assent.toml:5:2: there is no setting `querry`; did you mean `query`?",
            "assent.toml:8:1: there is no setting `journal.brokers`; did you mean `journal.kafka.brokers`?",
            "assent.toml:9:1: there is no setting `journal.width`; `assent config default` lists them all",
        ]
    );
    assert_eq!(
        faults(&environment(&[("ASSENT_SERVER__PROT", "1")])),
        ["env ASSENT_SERVER__PROT: there is no setting `server.prot`; did you mean `server.port`?"]
    );
    // What Kubernetes makes of a service named `assent-server`, a build's own variable, the client's token.
    let others = [
        ("ASSENT_SERVER_PORT", "tcp://10.0.0.1:7878"),
        ("ASSENT_VERSION", "1.2.3"),
        ("ASSENT_TOKEN", "t"),
    ];
    assert_eq!(faults(&environment(&others)), [""; 0]);
}

#[test]
fn values_of_another_kind_are_refused_with_their_place() {
    let folder = Folder::with(
        "version = 1\n[server]\nport = \"7878\"\ndrain = 10\n[journal]\nkind = \"pulsar\"\n[intake]\nbody_bytes = \"4MB\"\n",
    );
    assert_eq!(
        folder.faults(),
        [
            "assent.toml:3:1: server.port: a whole number is expected",
            "assent.toml:4:1: server.drain: a time such as 250ms, 10s, 5m, 2h or 30d is expected",
            "assent.toml:6:1: journal.kind: one of embedded, kafka is expected",
            "assent.toml:8:1: intake.body_bytes: a size such as 512KiB, 4MiB or 1GiB is expected",
        ]
    );
    let too_large = environment(&[("ASSENT_SERVER__PORT", "65536")]);
    assert_eq!(
        faults(&too_large),
        ["env ASSENT_SERVER__PORT: server.port: is too large"]
    );
    assert_eq!(
        Folder::with("version = 1\n[server\n").faults().len(),
        1,
        "no TOML"
    );
    assert_eq!(
        Folder::with("[server]\nport = 1\n").faults(),
        ["assent.toml: begin the file with `version = 1`"]
    );
    assert_eq!(
        Folder::with("version = 2\n").faults(),
        ["assent.toml:1: version: this program reads version 1; use a newer program"]
    );
}

#[test]
fn settings_that_contradict_one_another_are_refused() {
    let kafka = "version = 1\n[journal]\nkind = \"kafka\"\n";
    assert_eq!(
        Folder::with(kafka).faults(),
        ["default: journal.kafka.brokers: name the brokers of the Kafka journal"]
    );
    let together = Folder::with(&format!("{kafka}[journal.kafka]\nbrokers = [\"h:1\"]\n"));
    let mut apart = together.sources();
    assert_eq!(faults(&apart), [""; 0]);
    apart.flags = vec![("roles", "--roles", "query".to_owned())];
    assert!(faults(&apart)[0].contains("the embedded vault belongs to one process"));
    assert_eq!(
        Folder::with("version = 1\n[query]\ntimeout = \"1h\"\n").faults(),
        [
            "default: projector.keep_for: is shorter than query.timeout: a query could lose its files"
        ]
    );
    assert!(faults(&environment(&[("ASSENT_ROLES", "intake,worker")]))[0].contains("roles"));
    let ratio = environment(&[("ASSENT_TELEMETRY__TRACES_RATIO", "1.5")]);
    assert!(faults(&ratio)[0].contains("a share is from 0 to 1"));
}

#[test]
fn a_secret_stands_in_a_file_of_its_own_or_in_the_environment() {
    let folder = Folder::with("version = 1\n[vault]\nmaster_key = \"planted-secret\"\n");
    let refused = folder.faults();
    assert_eq!(
        refused,
        [
            "assent.toml:3:1: a secret does not stand in the configuration: put it in a file and name that with \
          vault.master_key_file, or set ASSENT_VAULT__MASTER_KEY"
        ]
    );

    let folder = Folder::with("version = 1\n[vault]\nmaster_key_file = \"key\"\n");
    std::fs::write(folder.0.path().join("key"), "planted-secret\n").unwrap();
    let config = Config::load(&folder.sources()).unwrap();
    let read = config.vault.master_key.read().unwrap();
    assert_eq!(read.expose(), "planted-secret");
    assert_eq!(
        config.vault.master_key.path(),
        Some(folder.0.path().join("key").as_path()),
        "relative to the configuration file"
    );

    let mut sources = folder.sources();
    sources.environment = environment(&[("ASSENT_VAULT__MASTER_KEY", "planted-other")]).environment;
    let raw = RawConfig::layered(&sources).unwrap();
    let config = Config::read(&raw).unwrap();
    assert_eq!(
        config.vault.master_key.read().unwrap().expose(),
        "planted-other"
    );
    for shown in [show::as_json(&raw), show::as_toml(&raw)] {
        assert!(!shown.contains("planted"), "{shown}");
        assert!(shown.contains("ASSENT_VAULT__MASTER_KEY"), "{shown}");
    }
}

#[test]
fn relative_paths_of_a_file_lie_beside_it_and_those_of_others_where_one_stands() {
    let folder = Folder::with("version = 1\ndata_dir = \"data\"\n");
    let config = Config::load(&folder.sources()).unwrap();
    assert_eq!(config.data_dir, folder.0.path().join("data"));
    assert_eq!(
        config.server.socket,
        folder.0.path().join("data/assent.sock")
    );
    let config = Config::load(&environment(&[("ASSENT_DATA_DIR", "there")])).unwrap();
    assert_eq!(config.data_dir, Path::new("there"));
    let presets = Sources {
        presets: vec![("data_dir", "preset")],
        ..Sources::default()
    };
    assert_eq!(
        Config::load(&presets).unwrap().data_dir,
        Path::new("preset")
    );
}

#[test]
fn roles_are_all_unless_they_are_named() {
    let roles = |variables: &[(&str, &str)]| Config::load(&environment(variables)).unwrap().roles;
    assert_eq!(roles(&[]), Roles::all());
    assert_eq!(
        roles(&[("ASSENT_ROLES", "query, intake")]),
        [ProcessRole::Intake, ProcessRole::Query]
            .into_iter()
            .collect()
    );
    let file = Folder::with("version = 1\nroles = [\"projector\"]\n");
    let config = Config::load(&file.sources()).unwrap();
    assert_eq!(config.roles.to_string(), "projector");
}

#[test]
fn the_default_file_says_what_holds_without_it() {
    let text = show::default_file();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/assent.toml");
    let committed = std::fs::read_to_string(file).unwrap();
    let differs = text
        .lines()
        .zip(committed.lines())
        .find(|(is, was)| is != was);
    assert!(
        text == committed,
        "docs/assent.toml says otherwise, first in {differs:?}; write it anew with `assent config default`"
    );
    let folder = Folder::with(&text);
    assert_eq!(folder.faults(), [""; 0]);

    // The same with every setting taken out of its comment, examples aside.
    let active: String = text
        .lines()
        .filter(|line| !line.contains("# an example"))
        .map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') && setting.contains(" = ") => {
                format!("{setting}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let folder = Folder::with(&active);
    let said = RawConfig::layered(&folder.sources()).unwrap();
    let defaults = RawConfig::layered(&Sources::default()).unwrap();
    for setting in SETTINGS {
        let beside = |value: &super::value::Value| value.clone().below(folder.0.path());
        match setting.preset {
            Preset::Is(_) => {
                assert!(
                    matches!(said.origin(setting.key), Origin::File { .. }),
                    "{}",
                    setting.key
                );
                let default = defaults.value(setting.key).map(beside);
                assert_eq!(said.value(setting.key), default.as_ref(), "{}", setting.key);
            }
            Preset::InDataDir(_) => {
                assert!(
                    matches!(said.origin(setting.key), Origin::File { .. }),
                    "{}",
                    setting.key
                );
            }
            Preset::Unset(_) => assert_eq!(said.value(setting.key), None, "{}", setting.key),
        }
    }
}

#[test]
fn examples_read_and_every_setting_has_a_section_and_a_word() {
    for setting in SETTINGS {
        assert!(!setting.about.is_empty(), "{}", setting.key);
        assert!(
            SECTIONS
                .iter()
                .any(|section| section.name == setting.section()),
            "{}",
            setting.key
        );
        if let Preset::Unset(example) = setting.preset {
            assert!(setting.kind.parse(example).is_ok(), "{}", setting.key);
        }
        let variable = setting.variable();
        assert_eq!(
            SETTINGS
                .iter()
                .filter(|one| one.variable() == variable)
                .count(),
            1,
            "{variable}"
        );
        // A file says `port = "7878"` for no number, so secrets must not read as anything but their file.
        if setting.kind == Kind::Secret {
            assert!(setting.name_in_file().ends_with("_file"));
        }
    }
}

#[test]
fn what_is_shown_as_toml_says_the_same_again() {
    let folder = Folder::with(
        "version = 1\n[journal]\nkind = \"kafka\"\n[journal.kafka]\nbrokers = [\"a:1\", \"b:2\"]\n",
    );
    let raw = RawConfig::layered(&folder.sources()).unwrap();
    let again = Folder::with(&show::as_toml(&raw));
    let config = Config::load(&again.sources()).unwrap();
    let JournalKind::Kafka(kafka) = config.journal else {
        panic!("embedded");
    };
    assert_eq!(kafka.journal.brokers, "a:1,b:2");
}

#[test]
fn kafka_is_reached_as_it_is_secured() {
    let of = |lines: &str| {
        let head = "version = 1\n[journal]\nkind = \"kafka\"\n[journal.kafka]\nbrokers = \"h:1\"\n";
        Folder::with(&format!("{head}{lines}"))
    };
    let security = |folder: &Folder| {
        let config = Config::load(&folder.sources()).unwrap();
        let JournalKind::Kafka(kafka) = config.journal else {
            panic!("embedded");
        };
        kafka.journal.security
    };
    assert_eq!(security(&of("")), Security::Plaintext);
    let tls = of("security = \"tls\"\nca_file = \"ca.pem\"\n");
    let ca_file = Some(tls.0.path().join("ca.pem"));
    assert_eq!(security(&tls), Security::Tls(Tls { ca_file }));
    let sasl =
        of("security = \"sasl_tls\"\nsasl_name = \"us\"\nsasl_password_file = \"password\"\n");
    std::fs::write(sasl.0.path().join("password"), "planted-password\n").unwrap();
    let expected = Sasl {
        mechanism: Mechanism::ScramSha512,
        name: "us".to_owned(),
        password: Password::new("planted-password"),
    };
    assert_eq!(security(&sasl), Security::SaslTls(Tls::default(), expected));
    let raw = RawConfig::layered(&sasl.sources()).unwrap();
    assert!(!show::as_json(&raw).contains("planted"));

    let without = of("security = \"sasl_tls\"\n").faults();
    assert_eq!(
        without,
        [
            "default: journal.kafka.sasl_name: is needed for security = \"sasl_tls\"",
            "default: journal.kafka.sasl_password: is needed: name the file it stands in, or set the variable",
        ]
    );
    let gone =
        of("security = \"sasl_tls\"\nsasl_name = \"us\"\nsasl_password_file = \"gone\"\n").faults();
    assert!(
        gone[0].starts_with("assent.toml:8: journal.kafka.sasl_password:"),
        "{gone:?}"
    );
    let secret = of("properties = [\"ssl.key.password=planted\", \"linger\"]\n").faults();
    assert_eq!(
        secret,
        [
            "assent.toml:6: journal.kafka.properties: ssl.key.password holds a secret, which does not stand here",
            "assent.toml:6: journal.kafka.properties: each is written name=value",
        ]
    );
}

#[test]
fn a_shared_vault_is_reached_without_a_password_in_the_file() {
    let of = |lines: &str| {
        Folder::with(&format!(
            "version = 1\n[vault]\nkind = \"postgres\"\n[vault.postgres]\n{lines}"
        ))
    };
    let connection = "connection = \"postgres://us@127.0.0.1:5432/assent\"\n";
    let local = of(connection);
    assert_eq!(local.faults(), [""; 0]);
    let config = Config::load(&local.sources()).unwrap();
    assert!(matches!(config.vault.kind, VaultKind::Postgres(_)));
    // Shared, so that a process may have one role.
    let mut apart = local.sources();
    apart.flags = vec![("roles", "--roles", "query".to_owned())];
    assert_eq!(faults(&apart), [""; 0]);

    assert_eq!(
        of("").faults(),
        ["default: vault.postgres.connection: is needed for kind = \"postgres\""]
    );
    for planted in [
        "connection = \"postgres://us:planted@127.0.0.1/assent\"\n",
        "connection = \"host=127.0.0.1 user=us password=planted\"\n",
    ] {
        let refused = of(planted).faults();
        assert!(
            refused[0].contains("holds a password, which does not stand here"),
            "{refused:?}"
        );
        assert!(!refused[0].contains("planted"));
    }
    let far = of("connection = \"postgres://us@db.example:5432/assent\"\n").faults();
    assert!(
        far[0].contains("not on this machine and TLS is off"),
        "{far:?}"
    );
    let far =
        of("connection = \"postgres://us@db.example:5432/assent\"\nauthority_file = \"ca.pem\"\n");
    assert_eq!(far.faults(), [""; 0]);
}

#[test]
fn a_bucket_is_asked_by_a_key_whose_secret_stands_elsewhere() {
    let of = |lines: &str| {
        Folder::with(&format!(
            "version = 1\n[profiles]\nkind = \"s3\"\n[profiles.s3]\n{lines}"
        ))
    };
    assert_eq!(
        of("").faults(),
        ["default: profiles.s3.bucket: is needed for kind = \"s3\""]
    );
    let by_the_machine = of("bucket = \"b\"\n");
    let config = Config::load(&by_the_machine.sources()).unwrap();
    let Profiles::S3(places) = config.profiles else {
        panic!("a directory");
    };
    assert!(places.0.credentials.is_none());
    assert_eq!(places.1.dir, Path::new("assent-data/cache"));

    let keyed = "bucket = \"b\"\naccess_key_id = \"us\"\n";
    assert!(of(keyed).faults()[0].contains("profiles.s3.secret_access_key: is needed"));
    let folder = of(&format!("{keyed}secret_access_key_file = \"secret\"\n"));
    std::fs::write(folder.0.path().join("secret"), "planted-secret\n").unwrap();
    let config = Config::load(&folder.sources()).unwrap();
    let Profiles::S3(places) = config.profiles else {
        panic!("a directory");
    };
    let key = places.0.credentials.unwrap();
    assert_eq!(
        (key.access_key_id.as_str(), key.secret_access_key.as_str()),
        ("us", "planted-secret")
    );
    let raw = RawConfig::layered(&folder.sources()).unwrap();
    assert!(!show::as_json(&raw).contains("planted"));
}
