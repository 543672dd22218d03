//! The reader over a stream of chunks, such as a request's payload. It asks for
//! the next chunk only when the last one is used up, so that a slow archive
//! slows the client down.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::read::{Event, Limits, MultipartError, Reader};

/// Why no event came.
#[derive(Debug, thiserror::Error)]
pub enum PartsError<E> {
    #[error(transparent)]
    Multipart(#[from] MultipartError),
    /// The transfer itself failed.
    #[error("the body of the request could not be read")]
    Transfer(#[source] E),
}

/// The events of a multipart body.
#[derive(Debug)]
pub struct Parts<S> {
    chunks: S,
    reader: Reader,
}

impl<S, E> Parts<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    pub fn new(chunks: S, boundary: &str, limits: Limits) -> Self {
        Self { chunks, reader: Reader::new(boundary, limits) }
    }

    /// The next event; none after [`Event::End`].
    ///
    /// # Errors
    /// The body is malformed or over a limit, or the transfer failed.
    pub async fn next(&mut self) -> Result<Option<Event>, PartsError<E>> {
        loop {
            if let Some(event) = self.reader.next()? {
                return Ok(Some(event));
            }
            if self.reader.is_done() {
                return Ok(None);
            }
            match self.chunks.next().await {
                Some(Ok(chunk)) => self.reader.feed(chunk),
                Some(Err(error)) => return Err(PartsError::Transfer(error)),
                None => self.reader.finish(),
            }
        }
    }

    /// The chunks after the last event, for one who wants to drain them.
    pub fn into_inner(self) -> S {
        self.chunks
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn events_of_a_stream_and_its_failure() {
        let chunks = ["--b\r\nContent-Ty", "pe: a/b\r\n\r\nda", "ta\r", "\n--b--\r\n", "epilogue"];
        let good = stream::iter(chunks.map(|chunk| Ok::<_, &str>(Bytes::from_static(chunk.as_bytes()))));
        let mut parts = Parts::new(good, "b", Limits::default());
        let mut data = Vec::new();
        let mut ended = false;
        while let Some(event) = parts.next().await.expect("valid") {
            match event {
                Event::Part(headers) => assert_eq!(headers.content_type.as_deref(), Some("a/b")),
                Event::Data(bytes) => data.extend_from_slice(&bytes),
                Event::EndPart => {}
                Event::End { terminated } => {
                    assert!(terminated);
                    ended = true;
                }
            }
        }
        assert!(ended);
        assert_eq!(data, b"data");

        let broken = stream::iter([Ok(Bytes::from_static(b"--b\r\n\r\nda")), Err("reset")]);
        let mut parts = Parts::new(broken, "b", Limits::default());
        assert!(matches!(parts.next().await, Ok(Some(Event::Part(_)))));
        assert!(matches!(parts.next().await, Ok(Some(Event::Data(_)))));
        assert!(matches!(parts.next().await, Err(PartsError::Transfer("reset"))));
    }
}
