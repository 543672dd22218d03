//! An S3 server that others wrote, in the process of a test: s3s-fs, whose
//! buckets are folders. Unlike the one of `s3.rs` it cannot be told to fail;
//! it shows that Hilum does not only understand what Hilum's authors wrote.

use std::net::SocketAddr;

use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{net::TcpListener, runtime::Runtime};

use crate::s3::{ACCESS_KEY, SECRET_KEY};

/// The server, with one bucket. It ends, and its folder with it, when this is dropped.
pub struct S3Fs {
    address: SocketAddr,
    // Before the folder: nothing writes there any more when it is removed.
    _runtime: Runtime,
    _folder: TempDir,
}

impl S3Fs {
    /// It knows the key of [`crate::s3::S3::environment`].
    pub fn start(bucket: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir(folder.path().join(bucket)).expect("a bucket");
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).expect("a file system"));
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();

        let runtime = Runtime::new().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let address = listener.local_addr().expect("an address");
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                tokio::spawn(async move {
                    // A client that goes is no error of the server's.
                    let http = Builder::new(TokioExecutor::new());
                    drop(http.serve_connection(TokioIo::new(stream), service).await);
                });
            }
        });
        Self { address, _runtime: runtime, _folder: folder }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}
