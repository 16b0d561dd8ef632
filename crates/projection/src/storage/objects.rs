//! A bucket as storage, over the S3 protocol.
//!
//! What excludes rivals is the conditional creation of an object (`If-None-Match: *`). Not every store that speaks S3
//! honours it, and one that ignores it loses commits in silence: so opening tries it out, in turn and in a race, and
//! refuses a store where two creations of one object succeed.
//!
//! Whether a creation took place is not always told: the answer can be lost, and the client tries again by itself, so
//! that "exists already" can mean our own first attempt. Nothing is concluded here; the caller reads back.
//!
//! Data files are written and read whole, through local files ([`super::cache`]); so a bucket needs no more of the
//! readers than a directory does. Large ones travel in parts. A process that dies while it sends parts leaves them in
//! the bucket, invisible: give the bucket a lifecycle rule that removes unfinished multipart uploads, since parts are
//! personal data, too (I8).
//!
//! The client is asynchronous and everything else here blocks, on threads that may belong to another runtime: requests
//! run on a runtime of the storage's own.

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as ObjectPath;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutPayload,
    RetryConfig, WriteMultipart,
};
use tokio::runtime::Runtime;

use super::cache::{Cache, CacheSettings};
use super::{Created, Entry, Staged, Storage};
use crate::{DataFile, Error, ErrorKind, Owner};

/// What is sent or fetched by one request at most; a transfer holds [`IN_FLIGHT`] of them in memory.
const PART_BYTES: u64 = 8 << 20;
/// Parts of one file on their way at a time.
const IN_FLIGHT: usize = 4;
/// Files on their way at a time.
const UPLOADS: usize = 8;
/// A request that takes longer is given up, and tried again where that is safe.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a request is tried again after errors that pass.
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
/// Rivals of the race by which a store is tried out.
const RIVALS: u8 = 8;

/// Where a bucket is, and who asks.
#[derive(Clone, Debug)]
pub struct S3Settings {
    /// The bucket.
    pub bucket: String,
    /// What the names of all objects begin with; empty for none. One prefix is one projection.
    pub prefix: String,
    /// The region.
    pub region: String,
    /// The address of the service; `None` is Amazon's in that region.
    pub endpoint: Option<String>,
    /// Whether the address may be plain `http:`. Profiles are in clear: for tests on one machine.
    pub allow_http: bool,
    /// Who asks; `None` takes what the machine's metadata service says.
    pub credentials: Option<S3Credentials>,
}

/// A key of the S3 protocol.
#[derive(Clone)]
pub struct S3Credentials {
    /// Its public half.
    pub access_key_id: String,
    /// Its secret half.
    pub secret_access_key: String,
    /// The token of a key that is valid for some time only.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("S3Credentials(..)")
    }
}

/// A projection in a bucket.
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    prefix: ObjectPath,
    place: PathBuf,
    cache: Cache,
    /// `None` only while dropping.
    runtime: Option<Runtime>,
}

impl ObjectStorage {
    /// Opens a bucket and tries out whether it excludes. `owner` is drawn at random, once a process.
    ///
    /// # Errors
    /// [`Error::NotExclusive`] when it does not; [`Error::Storage`] when it cannot be asked; [`Error::Locked`] when
    /// another process uses the cache.
    pub fn s3(settings: &S3Settings, cache: CacheSettings, owner: &Owner) -> Result<Self, Error> {
        let S3Settings {
            bucket,
            prefix,
            region,
            endpoint,
            allow_http,
            credentials,
        } = settings;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_client_options(
                ClientOptions::new()
                    .with_allow_http(*allow_http)
                    .with_timeout(REQUEST_TIMEOUT),
            )
            .with_retry(RetryConfig {
                backoff: BackoffConfig::default(),
                max_retries: 8,
                retry_timeout: RETRY_TIMEOUT,
            });
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(S3Credentials {
            access_key_id,
            secret_access_key,
            session_token,
        }) = credentials
        {
            builder = builder
                .with_access_key_id(access_key_id)
                .with_secret_access_key(secret_access_key);
            if let Some(token) = session_token {
                builder = builder.with_token(token);
            }
        }
        let place = format!("s3://{bucket}/{prefix}");
        let store = builder
            .build()
            .map_err(failed("open", PathBuf::from(&place)))?;
        Self::over(Arc::new(store), &place, prefix, cache, owner)
    }

    /// As [`ObjectStorage::s3`], over any store; `place` names it for people.
    ///
    /// # Errors
    /// As [`ObjectStorage::s3`].
    pub fn over(
        store: Arc<dyn ObjectStore>,
        place: &str,
        prefix: &str,
        cache: CacheSettings,
        owner: &Owner,
    ) -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("projection-storage")
            .enable_all()
            .build()
            .map_err(|error| Error::Worker {
                reason: error.to_string(),
            })?;
        let storage = Self {
            store,
            prefix: ObjectPath::from(prefix),
            place: PathBuf::from(place),
            cache: Cache::open(cache)?,
            runtime: Some(runtime),
        };
        let probed = storage.probe(owner);
        for name in probes(owner) {
            storage.remove(&name)?;
        }
        probed.map(|()| storage)
    }

    /// Tries out whether creation excludes.
    fn probe(&self, owner: &Owner) -> Result<(), Error> {
        let [turn, race] = probes(owner);
        let not_exclusive = || Error::NotExclusive {
            place: self.place.display().to_string(),
        };
        let mut created = 0;
        for content in [b"first", b"other"] {
            match self.create(&turn, content) {
                Ok(Created::New) => created += 1,
                Ok(Created::Taken) => {}
                Err(error) if error.kind() == ErrorKind::Invalid => return Err(not_exclusive()),
                Err(error) => return Err(error),
            }
        }
        if created != 1 || self.read(&turn)?.as_deref() != Some(b"first") {
            return Err(not_exclusive());
        }
        let (store, path) = (Arc::clone(&self.store), self.path(&race));
        let winners = self.wait(async move {
            let rivals = (0..RIVALS).map(|rival| {
                let (store, path) = (Arc::clone(&store), path.clone());
                let content = PutPayload::from(vec![rival]);
                async move {
                    let options = PutMode::Create.into();
                    store.put_opts(&path, content, options).await.is_ok()
                }
            });
            let done = futures::future::join_all(rivals).await;
            done.into_iter().filter(|won| *won).count()
        })?;
        // None may win when each was told that another is at it.
        if winners > 1 {
            return Err(not_exclusive());
        }
        Ok(())
    }

    fn path(&self, name: &str) -> ObjectPath {
        name.split('/')
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Runs requests on the storage's own runtime, and blocks until they are done.
    fn wait<T: Send + 'static>(
        &self,
        requests: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Error> {
        let stopped = || Error::Worker {
            reason: "the storage's runtime has stopped".to_owned(),
        };
        let (answer, answered) = std::sync::mpsc::sync_channel(1);
        let runtime = self.runtime.as_ref().ok_or_else(stopped)?;
        runtime.spawn(async move {
            // Nobody waits for the answer when the waiting thread was killed; then it matters to nobody.
            let _ = answer.send(requests.await);
        });
        answered.recv().map_err(|_| stopped())
    }
}

impl Storage for ObjectStorage {
    fn locate(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }

    fn stage(&self, name: &str) -> Result<Staged, Error> {
        self.cache.stage(name)
    }

    fn put(&self, staged: Vec<Staged>) -> Result<(), Error> {
        let mut uploads = Vec::with_capacity(staged.len());
        for file in &staged {
            let local = file.file.path();
            let content = file.file.reopen().map_err(Error::io("read", local))?;
            let (store, path) = (Arc::clone(&self.store), self.path(file.name()));
            let place = self.locate(file.name());
            uploads.push(async move { upload(store.as_ref(), &path, content, place).await });
        }
        self.wait(async move {
            futures::stream::iter(uploads)
                .buffer_unordered(UPLOADS)
                .try_collect::<()>()
                .await
        })??;
        // The projector will read them when it compacts.
        staged
            .into_iter()
            .try_for_each(|file| self.cache.keep(file).map(drop))
    }

    fn open(&self, file: &DataFile) -> Result<File, Error> {
        self.cache.open_or(file, |staged| {
            let place = self.locate(&file.path);
            let target = staged
                .file()
                .try_clone()
                .map_err(Error::io("write", &place))?;
            let (store, path) = (Arc::clone(&self.store), self.path(&file.path));
            let wanted = (file.bytes, file.crc32);
            self.wait(async move { download(store.as_ref(), &path, target, wanted, place).await })?
        })
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error> {
        let (store, path) = (Arc::clone(&self.store), self.path(name));
        let payload = PutPayload::from(bytes.to_vec());
        let options = PutMode::Create.into();
        match self.wait(async move { store.put_opts(&path, payload, options).await })? {
            Ok(_) => Ok(Created::New),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(Created::Taken),
            Err(error) => Err(failed("create", self.locate(name))(error)),
        }
    }

    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let (store, path) = (Arc::clone(&self.store), self.path(name));
        match self.wait(async move { store.get(&path).await?.bytes().await })? {
            Ok(bytes) => Ok(Some(bytes.to_vec())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", self.locate(name))(error)),
        }
    }

    fn list(&self, folder: &str, after: &str) -> Result<Vec<Entry>, Error> {
        let (store, path) = (Arc::clone(&self.store), self.path(folder));
        let after = (!after.is_empty()).then(|| path.clone().join(after));
        let listed = self.wait(async move {
            let listing = match &after {
                Some(after) => store.list_with_offset(Some(&path), after),
                None => store.list(Some(&path)),
            };
            listing.try_collect::<Vec<_>>().await
        })?;
        let listed = listed.map_err(failed("list", self.locate(folder)))?;
        let mut entries: Vec<Entry> = listed
            .into_iter()
            .filter_map(|object| {
                Some(Entry {
                    name: object.location.filename()?.to_owned(),
                    created_at: object.last_modified.into(),
                })
            })
            .collect();
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn remove(&self, name: &str) -> Result<(), Error> {
        self.cache.remove(name)?;
        let (store, path) = (Arc::clone(&self.store), self.path(name));
        match self.wait(async move { store.delete(&path).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("remove", self.locate(name))(error)),
        }
    }

    fn sweep(&self, _dead: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        // An object is whole or not there, and what an earlier process left in the cache is gone since it was opened.
        Ok(())
    }

    fn forget_copies(&self, wanted: &dyn Fn(&str) -> bool) -> Result<(), Error> {
        self.cache.retain(wanted)
    }
}

impl Drop for ObjectStorage {
    fn drop(&mut self) {
        // Dropped the ordinary way it would wait, which is not allowed within another runtime.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStorage")
            .field("place", &self.place)
            .field("cache", &self.cache)
            .finish_non_exhaustive()
    }
}

/// The objects by which a store is tried out.
fn probes(owner: &Owner) -> [String; 2] {
    ["turn", "race"].map(|kind| format!("probe/{owner}-{kind}"))
}

/// Sends a file. Its name is new, so that writing over an earlier attempt of the same is harmless.
async fn upload(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    mut content: File,
    place: PathBuf,
) -> Result<(), Error> {
    // Reading a local file blocks this thread for moments; it is the storage's own.
    let mut next = move || -> std::io::Result<Vec<u8>> {
        let mut part = Vec::new();
        Read::by_ref(&mut content)
            .take(PART_BYTES)
            .read_to_end(&mut part)?;
        Ok(part)
    };
    let read = |error| Error::io("read", &place)(error);
    let sent = |error| failed("write", place.clone())(error);
    let first = next().map_err(read)?;
    if (first.len() as u64) < PART_BYTES {
        let payload = PutPayload::from(first);
        return store.put(path, payload).await.map(drop).map_err(sent);
    }
    let upload = store.put_multipart(path).await.map_err(sent)?;
    let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES as usize);
    let mut part = first;
    while !part.is_empty() {
        if let Err(error) = parts.wait_for_capacity(IN_FLIGHT).await {
            return abort(parts, sent(error)).await;
        }
        parts.put(Bytes::from(part));
        part = match next() {
            Ok(part) => part,
            Err(error) => return abort(parts, read(error)).await,
        };
    }
    parts.finish().await.map(drop).map_err(sent)
}

/// Takes back the parts that were sent.
async fn abort(parts: WriteMultipart, error: Error) -> Result<(), Error> {
    if let Err(stays) = parts.abort().await {
        tracing::warn!(error = %stays, "parts of an upload stay in the bucket until its lifecycle rule removes them");
    }
    Err(error)
}

/// Fetches a file of that length and CRC-32, part by part.
async fn download(
    store: &dyn ObjectStore,
    path: &ObjectPath,
    mut target: File,
    (bytes, crc32): (u64, u32),
    place: PathBuf,
) -> Result<(), Error> {
    let parts = (0..bytes.div_ceil(PART_BYTES))
        .map(|part| part * PART_BYTES..bytes.min((part + 1) * PART_BYTES));
    let mut fetched = futures::stream::iter(parts)
        .map(|part: Range<u64>| async move {
            let options = GetOptions::new().with_range(Some(part));
            let found = store.get_opts(path, options).await?;
            let size = found.meta.size;
            Ok((size, found.bytes().await?))
        })
        .buffered(IN_FLIGHT);
    let mut hash = crc32fast::Hasher::new();
    let mut length = 0;
    target.rewind().map_err(Error::io("write", &place))?;
    while let Some(part) = fetched.next().await {
        let (size, part) = match part {
            Ok((size, part)) => (size, part),
            Err(object_store::Error::NotFound { .. }) => {
                return Err(Error::corrupt(&place, "it is missing"));
            }
            Err(error) => return Err(failed("read", place.clone())(error)),
        };
        if size != bytes {
            let what = format!("it has {size} bytes instead of {bytes}");
            return Err(Error::corrupt(&place, what));
        }
        hash.update(&part);
        length += part.len() as u64;
        target
            .write_all(&part)
            .map_err(Error::io("write", &place))?;
    }
    if length != bytes || hash.finalize() != crc32 {
        return Err(Error::corrupt(&place, "its checksum does not match"));
    }
    Ok(())
}

/// The error of a request.
fn failed(verb: &'static str, path: PathBuf) -> impl FnOnce(object_store::Error) -> Error {
    move |source| {
        use object_store::Error as Cause;
        let kind = match &source {
            Cause::NotFound { .. } => ErrorKind::NotFound,
            Cause::PermissionDenied { .. } | Cause::Unauthenticated { .. } => ErrorKind::Denied,
            Cause::NotSupported { .. }
            | Cause::NotImplemented { .. }
            | Cause::InvalidPath { .. }
            | Cause::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
            _other => ErrorKind::Unavailable,
        };
        Error::Storage {
            verb,
            path,
            kind,
            source: Box::new(source),
        }
    }
}
