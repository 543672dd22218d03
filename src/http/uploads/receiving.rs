//! The bytes of one request, from the line to the disk. It goes on when the
//! request is gone, so that what arrived is flushed however the line broke.

use std::time::Duration;

use actix_web::{
    http::StatusCode,
    web::{Data, Payload},
};
use bytes::Bytes;
use futures_util::StreamExt;

use super::{checksum::Checksum, length_max, storing};
use crate::{
    archive::{ArchiveError, UploadNote, UploadWriter},
    http::{Problem, State},
};

/// Bytes gathered before they are handed to the disk.
const WRITE_BYTES: usize = 512 * 1024;
/// Bytes after which they are flushed.
const FLUSH_BYTES: u64 = 16 << 20;
/// How long a line may be silent before its upload is let go: a client that
/// lost it without a word could not go on before.
const SILENT_MAX: Duration = Duration::from_secs(30);
/// How long the answer to the last bytes waits for them to be stored.
const STORE_WAIT: Duration = Duration::from_secs(10);

/// How the body of a request ended.
enum Ended {
    Whole,
    /// The line broke, or was silent.
    Cut,
    TooLong,
}

/// Takes the body into an upload; what is known of the upload then.
///
/// # Errors
/// 460 when the checksum is another, 413 when there are too many bytes, 400
/// when the body broke off, 507 when the disk is full.
pub async fn receive(
    state: &Data<State>,
    writer: UploadWriter,
    payload: Payload,
    checksum: Option<Checksum>,
) -> Result<UploadNote, Problem> {
    let state = state.clone();
    let task = actix_web::rt::spawn(async move {
        let (note, ended) =
            Inflow { state: state.clone(), waiting: Vec::new(), bytes: 0, unflushed: 0, checksum }
                .run(writer, payload)
                .await?;
        match ended {
            Ended::Whole => Ok(note),
            Ended::TooLong => Err(super::too_long(note.length.unwrap_or_else(|| length_max(&state)))),
            Ended::Cut => Err(Problem::malformed_body(format!(
                "the body broke off; {} bytes of the upload are kept, go on from there",
                note.offset
            ))),
        }
    });
    task.await.unwrap_or_else(|_| Err(ArchiveError::Stopping.into()))
}

struct Inflow {
    state: Data<State>,
    waiting: Vec<Bytes>,
    bytes: usize,
    unflushed: u64,
    checksum: Option<Checksum>,
}

impl Inflow {
    async fn run(
        mut self,
        mut writer: UploadWriter,
        mut payload: Payload,
    ) -> Result<(UploadNote, Ended), Problem> {
        let before = writer.note();
        let length = before.length.unwrap_or_else(|| length_max(&self.state));
        let mut arrived = before.offset;
        let ended = loop {
            let Ok(chunk) = tokio::time::timeout(SILENT_MAX, payload.next()).await else { break Ended::Cut };
            let chunk = match chunk {
                None => break Ended::Whole,
                Some(Err(_)) => break Ended::Cut,
                Some(Ok(chunk)) => chunk,
            };
            arrived += chunk.len() as u64;
            if arrived > length {
                break Ended::TooLong;
            }
            self.bytes += chunk.len();
            self.waiting.push(chunk);
            if self.bytes >= WRITE_BYTES {
                writer = self.drain(writer).await?;
            }
        };
        writer = self.drain(writer).await?;
        if let Some(checksum) = self.checksum.take() {
            // Only the whole has it: what is not whole may be anything.
            if !matches!(ended, Ended::Whole) {
                return Ok((before, ended));
            }
            if !checksum.fits() {
                let status = StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST);
                let detail = "the bytes have another checksum and are not kept; send them again";
                return Err(Problem::new(status, "checksum-mismatch", "Checksum mismatch", detail));
            }
        }
        let (writer, note) = self.state.archive.on_upload(writer, UploadWriter::flush).await?;
        if note.is_to_be_stored() {
            let stored = storing::begin(&self.state, writer);
            // A result that comes later is there to be asked for.
            let _ = tokio::time::timeout(STORE_WAIT, stored).await;
        }
        Ok((note, ended))
    }

    /// Writes what is waiting, and flushes if that is much.
    async fn drain(&mut self, writer: UploadWriter) -> Result<UploadWriter, Problem> {
        let waiting = std::mem::take(&mut self.waiting);
        self.unflushed += std::mem::take(&mut self.bytes) as u64;
        let flush = self.checksum.is_none() && self.unflushed >= FLUSH_BYTES;
        if flush {
            self.unflushed = 0;
        }
        let mut checksum = self.checksum.take();
        let (writer, checksum) = self
            .state
            .archive
            .on_upload(writer, move |writer| {
                for bytes in &waiting {
                    if let Some(checksum) = &mut checksum {
                        checksum.update(bytes);
                    }
                    writer.write(bytes)?;
                }
                if flush {
                    writer.flush()?;
                }
                Ok(checksum)
            })
            .await?;
        self.checksum = checksum;
        Ok(writer)
    }
}
