//! Opening the stores that the configuration names: one function a store, one branch a kind.

use std::path::Path;
use std::sync::Arc;

use assent_journal::{EmbeddedConfig, EmbeddedJournal, Journal};
use assent_journal_kafka::KafkaJournal;
use assent_projection::{LocalStorage, Storage};
use assent_vault::{EmbeddedVault, MasterKey, RandomSource, Vault};
use assent_vault_postgres::PostgresVault;

use crate::config::{self, Config, JournalKind, Profiles, SecretAt, VaultKind};
use crate::failure::{Explained, Failure};
use crate::observed::Observed;

/// The journal.
///
/// # Errors
/// It cannot be opened or reached, or its topics are not as configured.
pub async fn journal(config: &Config) -> Result<Arc<dyn Journal>, Failure> {
    let journal: Arc<dyn Journal> = match &config.journal {
        JournalKind::Embedded => {
            make_private(&config.data_dir)?;
            let partitions = EmbeddedConfig::new(config::topics(config.partitions));
            let file = config.data_dir.join("journal.redb");
            Arc::new(EmbeddedJournal::open(&file, partitions).explained("journal")?)
        }
        JournalKind::Kafka(kafka) => {
            let kafka = KafkaJournal::connect(kafka.journal.clone()).await;
            Arc::new(kafka.explained("journal")?)
        }
    };
    Ok(Arc::new(Observed::of(journal)))
}

/// The vault.
///
/// # Errors
/// It cannot be opened or reached, or the master key is not its own.
pub fn vault(config: &Config, random: &Arc<dyn RandomSource>) -> Result<Arc<dyn Vault>, Failure> {
    let key = &config.vault.master_key;
    let source = Box::new(Arc::clone(random));
    match &config.vault.kind {
        VaultKind::Embedded => {
            make_private(&config.data_dir)?;
            let master = match key {
                SecretAt::File(path) if !path.exists() => {
                    MasterKey::create_file(path, random).explained("master key")?
                }
                SecretAt::File(_) | SecretAt::Given(_) => master_key(key)?,
            };
            let file = config.data_dir.join("vault.redb");
            let vault = EmbeddedVault::open(&file, master, source).explained("vault")?;
            Ok(Arc::new(vault))
        }
        VaultKind::Postgres(postgres) => {
            if let SecretAt::File(path) = key
                && !path.exists()
            {
                return Err(Failure::failed(format!(
                    "master key: {path} is not there. Processes that share a vault share its key: make it once, with \
                     `(umask 077; openssl rand -hex 32 > {path})`, and bring it to each of them",
                    path = path.display()
                )));
            }
            let vault =
                PostgresVault::open(postgres, &master_key(key)?, source).explained("vault")?;
            Ok(Arc::new(vault))
        }
    }
}

/// Where the profiles lie.
pub fn profiles(config: &Config) -> Arc<dyn Storage> {
    let Profiles::Local(dir) = &config.profiles;
    Arc::new(LocalStorage::new(dir))
}

fn master_key(at: &SecretAt) -> Result<MasterKey, Failure> {
    let text = at.read().explained("master key")?;
    MasterKey::from_hex(text.expose()).explained("master key")
}

/// A directory readable by its owner only: profiles hold columns in clear, and the socket obeys whoever can reach it.
///
/// # Errors
/// It cannot be made.
pub fn make_private(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .explained(dir.display())
}

/// Writes a secret that only its owner may read.
///
/// # Errors
/// The file is there already or cannot be written.
pub fn write_private(path: &Path, secret: &str) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(secret.as_bytes()))
        .explained(path.display())
}
