//! Objects: whole, named, never changed once they are there. In a bucket that
//! speaks S3, or in a folder of files, which is the same thing with other costs.
//! Backups are made of them, and packs that lie in a bucket.
//!
//! Invariants: an object is durable when `put` returned, and checked on its way
//! (an S3 request carries the SHA-256 of its body, and the server refuses
//! another); nothing is ever written over another object. Credentials come from
//! the environment and appear in no error. The calls block: not for actix workers.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::future::try_join_all;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{
    BackoffConfig, ClientOptions, MultipartUpload, ObjectStore, ObjectStoreExt, PutMode, RetryConfig,
};
use tokio::runtime::Runtime;

/// Threads that wait for the network.
const THREADS: usize = 2;
/// A part of a long object, if that makes no more than [`PARTS_MAX`] of them. (S3
/// wants 5 MiB at least, and takes 10,000.)
const PART_BYTES: u64 = 8 << 20;
const PARTS_MAX: u64 = 9_000;
/// Parts on their way at the same time.
const PARTS_AT_ONCE: usize = 3;

/// Where a bucket is. What is not said is taken from the environment
/// (`AWS_ENDPOINT_URL`, `AWS_REGION`), as the credentials always are
/// (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, or the
/// role of the machine).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bucket {
    pub name: String,
    /// In front of every object's name; empty for none.
    pub prefix: String,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    /// How long one operation is tried again while the bucket does not answer.
    pub retry_time_max: Option<Duration>,
    /// How long one request may take.
    pub request_time_max: Option<Duration>,
}

/// A place that holds objects. Clones are the same.
#[derive(Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    runtime: Arc<Waiting>,
    place: String,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").field("place", &self.place).finish_non_exhaustive()
    }
}

/// The threads that wait for the network. They end by themselves, since they
/// may be let go in an async context, where nobody may wait for them.
struct Waiting(Option<Runtime>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// What came of putting an object where there must be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Created,
    /// There was one already; it stays.
    Existed,
}

/// An object that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub name: String,
    pub length: u64,
}

impl Objects {
    /// The objects of a folder, which is made if it is not there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn in_folder(folder: &FilePath) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let store = LocalFileSystem::new_with_prefix(folder).map_err(meaning)?.with_fsync(true);
        Self::on(Arc::new(store), folder.display().to_string())
    }

    /// The objects of a bucket.
    ///
    /// # Errors
    /// When the address is malformed. The bucket is not asked yet.
    pub fn in_bucket(bucket: &Bucket) -> io::Result<Self> {
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: Duration::from_millis(100),
                max_backoff: Duration::from_secs(10),
                base: 2.0,
            },
            max_retries: 20,
            retry_timeout: bucket.retry_time_max.unwrap_or(Duration::from_mins(1)),
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(&bucket.name)
            .with_retry(retry)
            .with_checksum_algorithm(Checksum::SHA256)
            // One request an object: not all that speak S3 know the other form.
            .with_disable_bulk_delete(true)
            .with_client_options(
                ClientOptions::new()
                    .with_connect_timeout(Duration::from_secs(5))
                    .with_timeout(bucket.request_time_max.unwrap_or(Duration::from_mins(2)))
                    .with_allow_http(true),
            );
        if let Some(endpoint) = &bucket.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        match &bucket.region {
            Some(region) => builder = builder.with_region(region),
            None if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() => {
                builder = builder.with_region("us-east-1");
            }
            None => {}
        }
        let place = format!("s3://{}/{}", bucket.name, bucket.prefix);
        let store = builder.build().map_err(meaning)?;
        let prefix = Path::parse(bucket.prefix.trim_matches('/'))
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        if prefix.as_ref().is_empty() {
            Self::on(Arc::new(store), place)
        } else {
            Self::on(Arc::new(PrefixStore::new(store, prefix)), place)
        }
    }

    /// # Errors
    /// When there can be no more threads.
    fn on(store: Arc<dyn ObjectStore>, place: String) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("objects")
            .enable_all()
            .build()?;
        Ok(Self { store, runtime: Arc::new(Waiting(Some(runtime))), place })
    }

    /// Where they are, for people.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Runs `work` to its end in the threads of this place, and waits for it.
    fn wait<T: Send + 'static>(
        &self,
        work: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> io::Result<T> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let runtime = self.runtime.0.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        runtime.spawn(async move {
            let _ = sender.send(work.await);
        });
        receiver.recv().map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?.map_err(meaning)
    }

    /// Puts an object where there is none. It is durable when this returns.
    ///
    /// # Errors
    /// What the place says, after it was asked again and again for a while.
    pub fn put(&self, name: &str, bytes: Bytes) -> io::Result<Put> {
        let (store, name) = (Arc::clone(&self.store), Path::from(name));
        let put = self
            .wait(async move { store.put_opts(&name, bytes.into(), PutMode::Create.into()).await.map(drop) });
        match put {
            Ok(()) => Ok(Put::Created),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Put::Existed),
            Err(error) => Err(error),
        }
    }

    /// Puts some objects at the same time, under names that nobody used before.
    ///
    /// # Errors
    /// What the place says of one of them; others may be there then.
    pub fn put_all(&self, objects: Vec<(String, Bytes)>) -> io::Result<()> {
        let puts: Vec<_> = objects
            .into_iter()
            .map(|(name, bytes)| {
                let (store, name) = (Arc::clone(&self.store), Path::from(name));
                async move { store.put_opts(&name, bytes.into(), PutMode::Overwrite.into()).await.map(drop) }
            })
            .collect();
        self.wait(async move { try_join_all(puts).await.map(drop) })
    }

    /// The same, where an object of the same name can only be the same bytes, or
    /// what is left of an attempt whose answer was lost.
    ///
    /// # Errors
    /// `AlreadyExists` when there are other bytes; what the place says.
    pub fn put_same(&self, name: &str, bytes: &Bytes) -> io::Result<Put> {
        match self.put(name, bytes.clone())? {
            Put::Existed if self.get(name)? != *bytes => {
                let why = format!("{name} is there with other bytes");
                Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
            }
            put @ (Put::Created | Put::Existed) => Ok(put),
        }
    }

    /// Puts an object of any length, whose bytes `read` gives range by range. It
    /// is there whole or not at all, and durable when this returns. Unlike
    /// [`Self::put`] it cannot ask the place to refuse a second one of the name:
    /// who calls it has looked.
    ///
    /// # Errors
    /// What `read` says; what the place says, after it was asked again and again
    /// for a while.
    pub fn upload(
        &self,
        name: &str,
        length: u64,
        read: &mut dyn FnMut(Range<u64>) -> io::Result<Bytes>,
    ) -> io::Result<()> {
        if length <= PART_BYTES {
            return self.put_same(name, &read(0..length)?).map(drop);
        }
        let (store, path) = (Arc::clone(&self.store), Path::from(name));
        let upload = self.wait(async move { store.put_multipart(&path).await })?;
        let (upload, sent) = self.send_parts(upload, length, read);
        let ended = self.wait(async move {
            let mut upload = upload;
            match sent {
                Ok(()) => Ok(upload.complete().await.map(drop)),
                Err(error) => {
                    // What stays of it is not to be seen, and a lifecycle rule removes it.
                    drop(upload.abort().await);
                    Ok(Err(object_store::Error::Generic { store: "upload", source: Box::new(error) }))
                }
            }
        })?;
        ended.map_err(meaning)
    }

    fn send_parts(
        &self,
        mut upload: Box<dyn MultipartUpload>,
        length: u64,
        read: &mut dyn FnMut(Range<u64>) -> io::Result<Bytes>,
    ) -> (Box<dyn MultipartUpload>, io::Result<()>) {
        let part_bytes = length.div_ceil(PARTS_MAX).next_multiple_of(1 << 20).max(PART_BYTES);
        let mut at = 0;
        while at < length {
            let mut parts = Vec::with_capacity(PARTS_AT_ONCE);
            while at < length && parts.len() < PARTS_AT_ONCE {
                let end = length.min(at + part_bytes);
                match read(at..end) {
                    Ok(bytes) => parts.push(upload.put_part(bytes.into())),
                    Err(error) => return (upload, Err(error)),
                }
                at = end;
            }
            if let Err(error) = self.wait(async move { try_join_all(parts).await.map(drop) }) {
                return (upload, Err(error));
            }
        }
        (upload, Ok(()))
    }

    /// All of an object, which must fit into memory.
    ///
    /// # Errors
    /// `NotFound`, what else the place says.
    pub fn get(&self, name: &str) -> io::Result<Bytes> {
        let (store, name) = (Arc::clone(&self.store), Path::from(name));
        self.wait(async move { store.get(&name).await?.bytes().await })
    }

    /// A range of an object.
    ///
    /// # Errors
    /// `NotFound`, `UnexpectedEof` when it is not so long, what else the place says.
    pub fn get_range(&self, name: &str, range: Range<u64>) -> io::Result<Bytes> {
        let (store, name) = (Arc::clone(&self.store), Path::from(name));
        let wanted = range.end - range.start;
        let bytes = self.wait(async move { store.get_range(&name, range).await })?;
        if bytes.len() as u64 == wanted { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// The length of an object; `None` when there is none.
    ///
    /// # Errors
    /// What the place says.
    pub fn length(&self, name: &str) -> io::Result<Option<u64>> {
        let (store, name) = (Arc::clone(&self.store), Path::from(name));
        match self.wait(async move { store.head(&name).await }) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects below `folder`, by name.
    ///
    /// # Errors
    /// What the place says.
    pub fn list(&self, folder: &str) -> io::Result<Vec<Found>> {
        let (store, folder) = (Arc::clone(&self.store), Path::from(folder));
        let metas = self.wait(async move { store.list(Some(&folder)).try_collect::<Vec<_>>().await })?;
        let found = |meta: object_store::ObjectMeta| Found { name: meta.location.into(), length: meta.size };
        let mut found: Vec<Found> = metas.into_iter().map(found).collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Deletes an object; one that is not there is deleted already.
    ///
    /// # Errors
    /// What the place says.
    pub fn delete(&self, name: &str) -> io::Result<()> {
        let (store, name) = (Arc::clone(&self.store), Path::from(name));
        match self.wait(async move { store.delete(&name).await }) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Sorts an error by its meaning.
#[allow(clippy::wildcard_enum_match_arm, reason = "only kinds with a meaning here are told apart")]
fn meaning(error: object_store::Error) -> io::Error {
    use object_store::Error;
    let full = std::error::Error::source(&error)
        .and_then(|source| source.downcast_ref::<io::Error>())
        .is_some_and(|source| source.kind() == io::ErrorKind::StorageFull);
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => io::ErrorKind::AlreadyExists,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => io::ErrorKind::InvalidInput,
        _ if full => io::ErrorKind::StorageFull,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_objects() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Objects::in_folder(&dir.path().join("new")).unwrap();
        assert_eq!(objects.put("a/b", Bytes::from_static(b"one")).unwrap(), Put::Created);
        assert_eq!(objects.put("a/b", Bytes::from_static(b"two")).unwrap(), Put::Existed);
        assert_eq!(objects.put_same("a/b", &Bytes::from_static(b"one")).unwrap(), Put::Existed);
        assert!(objects.put_same("a/b", &Bytes::from_static(b"two")).is_err());
        assert_eq!(objects.get("a/b").unwrap(), "one");
        assert_eq!(objects.get_range("a/b", 1..3).unwrap(), "ne");
        assert!(objects.get_range("a/b", 1..4).is_err());
        assert_eq!(objects.length("a/b").unwrap(), Some(3));
        assert_eq!(objects.length("a/c").unwrap(), None);
        assert_eq!(objects.get("a/c").unwrap_err().kind(), io::ErrorKind::NotFound);
        let long = |range: Range<u64>| range.map(|at| (at % 251) as u8).collect::<Bytes>();
        objects.upload("long", 20 << 20, &mut |range| Ok(long(range))).unwrap();
        assert_eq!(objects.get("long").unwrap(), long(0..20 << 20));
        let failed = objects.upload("half", 20 << 20, &mut |range| match range.start {
            0 => Ok(long(range)),
            _ => Err(io::Error::other("the disk is broken")),
        });
        assert!(failed.is_err() && objects.length("half").unwrap().is_none());
        objects.put("a/a/c", Bytes::new()).unwrap();
        let names: Vec<_> = objects.list("a").unwrap().into_iter().map(|found| found.name).collect();
        assert_eq!(names, ["a/a/c", "a/b"]);
        objects.delete("a/b").unwrap();
        objects.delete("a/b").unwrap();
        assert_eq!(objects.list("a").unwrap().len(), 1);
        assert_eq!(objects.list("none").unwrap(), []);
    }
}
