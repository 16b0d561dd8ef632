//! Opening the stores that the configuration names: one function a store, one branch a kind.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use assent_journal::{Alone, EmbeddedConfig, EmbeddedJournal, Group, Journal, Topic};
use assent_journal_kafka::{KafkaGroup, KafkaJournal};
use assent_projection::{LocalStorage, ObjectStorage, Owner, Storage};
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

/// An embedded vault is founded beside a journal that holds nothing of people yet, and only there: beside any other it
/// would be an empty one in the place of the one that was lost, in which everybody is somebody new. Nor does a new
/// master key help a vault that has one.
///
/// # Errors
/// The vault or its key is not where it was; the sentence says what to do.
pub async fn look_for_vault(config: &Config, journal: &dyn Journal) -> Result<(), Failure> {
    let VaultKind::Embedded = &config.vault.kind else {
        return Ok(());
    };
    let file = vault_file(config);
    if file.exists() {
        return match &config.vault.master_key {
            SecretAt::File(path) if !path.exists() => Err(Failure::failed(format!(
                "master key: {path} is not there, and {file} can be opened with no other; bring it back from where \
                 you keep a copy",
                path = path.display(),
                file = file.display(),
            ))),
            SecretAt::File(_) | SecretAt::Given(_) => Ok(()),
        };
    }
    let of_people = config::topics(config.partitions)
        .into_iter()
        .filter(|(topic, _)| topic.as_str() != assent_event::topics::REGISTRY);
    let topics: Vec<Topic> = of_people.map(|(topic, _)| topic).collect();
    let ends = journal.end_positions(&topics).await.explained("journal")?;
    if ends.iter().all(|(_, _, next)| next == 0) {
        return Ok(());
    }
    Err(Failure::failed(format!(
        "vault: {file} is not there, but the journal holds events that can be read with no other; bring it back from a \
         backup, or begin anew in another data directory",
        file = file.display(),
    )))
}

fn vault_file(config: &Config) -> PathBuf {
    config.data_dir.join("vault.redb")
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
            let vault =
                EmbeddedVault::open(&vault_file(config), master, source).explained("vault")?;
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

/// Where the profiles lie. A bucket is tried out.
///
/// # Errors
/// The directory cannot be made; the bucket cannot be reached, or does not exclude; its cache is another process's.
pub async fn profiles(config: &Config, owner: Owner) -> Result<Arc<dyn Storage>, Failure> {
    match &config.profiles {
        Profiles::Local(dir) => {
            private_dir(dir)?;
            Ok(Arc::new(LocalStorage::new(dir)))
        }
        Profiles::S3(places) => {
            let (bucket, cache) = places.as_ref().clone();
            private_dir(&cache.dir)?;
            let opened = move || ObjectStorage::s3(&bucket, cache, &owner);
            let opened = tokio::task::spawn_blocking(opened).await;
            Ok(Arc::new(
                opened.explained("profiles")?.explained("profiles")?,
            ))
        }
    }
}

/// How projectors share the work: one on an embedded journal has all of it.
///
/// # Errors
/// The settings are none that Kafka's client takes.
pub fn group(config: &Config) -> Result<Arc<dyn Group>, Failure> {
    match &config.journal {
        JournalKind::Embedded => Ok(Arc::new(Alone::new(config.partitions))),
        JournalKind::Kafka(kafka) => {
            let group = KafkaGroup::join(&kafka.journal, &kafka.group);
            Ok(Arc::new(group.explained("the group of projectors")?))
        }
    }
}

fn master_key(at: &SecretAt) -> Result<MasterKey, Failure> {
    let text = at.read().explained("master key")?;
    MasterKey::from_hex(text.expose()).explained("master key")
}

/// The data directory, readable by its owner only: profiles hold columns in clear, and the socket obeys whoever can
/// reach it. One that is there and empty is made so; one that holds something already is left alone and refused, since
/// others may have read or planted what lies in it.
///
/// # Errors
/// It cannot be made, or others can reach it; the sentence says what to do.
pub fn make_private(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    if !dir.is_dir() {
        return private_dir(dir);
    }
    let mode = dir
        .metadata()
        .explained(dir.display())?
        .permissions()
        .mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let mut entries = dir.read_dir().explained(dir.display())?;
    if entries.next().is_some() {
        return Err(Failure::failed(format!(
            "{0}: others than its owner can reach this data directory; look at what is in it, then run \
             `chmod 700 {0}`",
            dir.display()
        )));
    }
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).explained(dir.display())
}

/// A directory that only its owner can reach, made where it is missing.
///
/// # Errors
/// It cannot be made.
pub fn private_dir(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::DirBuilderExt;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_data_directory_is_its_owners_alone() {
        let root = tempfile::tempdir().unwrap();
        let data = root.path().join("data");
        make_private(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        chmod(&data, 0o755);
        // Empty, so it is made private.
        make_private(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        std::fs::write(data.join("journal.redb"), "").unwrap();
        make_private(&data).unwrap();
        for open in [0o755, 0o710, 0o707] {
            chmod(&data, open);
            let refused = make_private(&data).unwrap_err();
            assert!(refused.message.contains("chmod 700"), "{refused}");
            assert_eq!(mode(&data), open, "left alone");
        }
    }
}
