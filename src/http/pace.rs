//! The body of a request at the pace of its client, which may be slow but not
//! without end: one that says nothing for long, or a few bytes now and then,
//! keeps what others wait for. Time in which nobody asked for the next bytes is
//! ours and does not count.

use std::time::Duration;

use actix_web::web::Payload;
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use tokio::time::Instant;

use super::{Problem, State};

/// Bytes of a body that are awaited before it takes one of the places that are few.
const FIRST_BYTES: usize = 16 * 1024;

/// A body.
pub struct Paced {
    payload: Payload,
    silent_max: Duration,
    bytes_per_second_min: u64,
    received: u64,
    waited: Duration,
    /// What was awaited ahead.
    first: Option<Bytes>,
}

impl Paced {
    pub fn new(payload: Payload, state: &State) -> Self {
        let limits = &state.config.limits;
        Self {
            payload,
            silent_max: Duration::from_secs(limits.body_silent_seconds_max),
            bytes_per_second_min: limits.body_bytes_per_second_min,
            received: 0,
            waited: Duration::ZERO,
            first: None,
        }
    }

    /// Waits until the body has really begun to come.
    ///
    /// # Errors
    /// 408 when it does not, 400 when it breaks off, 503 when so many wait already.
    pub async fn begin(mut self, state: &State) -> Result<Self, Problem> {
        let _waiting = state.arriving.try_acquire().map_err(|_| Problem::busy())?;
        let mut first = BytesMut::new();
        while first.len() < FIRST_BYTES {
            let Some(chunk) = self.receive().await? else { break };
            first.extend_from_slice(&chunk);
        }
        self.first = Some(first.freeze()).filter(|first| !first.is_empty());
        Ok(self)
    }

    /// The chunks, one after the other.
    pub fn chunks(self) -> impl Stream<Item = Result<Bytes, Problem>> + Unpin {
        let chunks = futures_util::stream::unfold(self, |mut body| async move {
            let chunk = match body.first.take() {
                Some(first) => Some(Ok(first)),
                None => body.receive().await.transpose(),
            };
            chunk.map(|chunk| (chunk, body))
        });
        // A reader may ask again after the end.
        Box::pin(chunks.fuse())
    }

    /// All of a body that is small.
    ///
    /// # Errors
    /// 408 when it comes too slowly, 400 when it breaks off, 413 when it is larger.
    pub async fn whole(mut self, bytes_max: usize) -> Result<Bytes, Problem> {
        let mut body = BytesMut::new();
        while let Some(chunk) = self.receive().await? {
            if body.len() + chunk.len() > bytes_max {
                return Err(Problem::too_large(format!("a body of this kind may have {bytes_max} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    async fn receive(&mut self) -> Result<Option<Bytes>, Problem> {
        let began = Instant::now();
        let chunk = tokio::time::timeout(self.silent_max, self.payload.next()).await;
        self.waited += began.elapsed();
        let chunk = match chunk {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(_))) => {
                return Err(Problem::malformed_body(
                    "the body ended before its Content-Length, or its chunks are malformed",
                ));
            }
            Err(_) => {
                let seconds = self.silent_max.as_secs();
                return Err(Problem::too_slow(format!(
                    "nothing of the body came for {seconds} seconds (limits.body_silent_seconds_max)"
                )));
            }
        };
        self.received += chunk.len() as u64;
        let least = self.waited.saturating_sub(self.silent_max).as_secs() * self.bytes_per_second_min;
        if self.received < least {
            return Err(Problem::too_slow(format!(
                "less than {} bytes of the body come in a second (limits.body_bytes_per_second_min)",
                self.bytes_per_second_min
            )));
        }
        Ok(Some(chunk))
    }
}
