//! What one request knows of the frames it needs in another form. It looks
//! twice: the first look finds which frames must be made, the second knows how
//! long they are and which are broken. A frame that is made for itself alone is
//! at hand then; of several only what they came to, for they wait for each other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

use super::{ArchiveError, FrameKey, Image, later};
use crate::{archive::Pieces, pixels::PixelError};

/// A frame that was made.
#[derive(Debug)]
pub(super) enum Ready {
    Whole(Bytes),
    /// So many bytes, to be made or found again.
    Length(u64),
}

#[derive(Debug, Default)]
struct Frames {
    /// What came of a frame, or what is wrong.
    known: HashMap<FrameKey, Result<Ready, ArchiveError>>,
    wanted: Vec<(Arc<Image>, u32)>,
    wanted_bytes: u64,
    /// The frames that could be made ahead have been.
    is_second_look: bool,
}

#[derive(Debug)]
pub struct Made {
    frames: Mutex<Frames>,
    ahead_bytes_max: u64,
}

impl Made {
    #[must_use]
    pub fn new(ahead_bytes_max: u64) -> Self {
        Self { frames: Mutex::default(), ahead_bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One frame as a body, `index` counting from 0. At the first look, a body
    /// that must not be sent.
    ///
    /// # Errors
    /// The frame is broken, or more would have to be encoded than is at once.
    pub fn frame(&self, image: &Arc<Image>, index: u32) -> Result<Pieces, ArchiveError> {
        let mut frames = self.lock();
        let decoded = image.is_decoded().then(|| image.after.frame_bytes());
        match frames.known.get(&image.key(index)) {
            Some(Ok(Ready::Whole(bytes))) => {
                let mut pieces = Pieces::new();
                pieces.push_bytes(bytes.clone());
                return Ok(pieces);
            }
            Some(Ok(Ready::Length(length))) => return Ok(later(image, index, *length)),
            Some(Err(error)) => return Err(error.again()),
            None => {}
        }
        if frames.is_second_look && decoded.is_none() {
            let what = "so many frames at once; ask for fewer of them, or for transfer-syntax=*";
            return Err(image.error(index, PixelError::Unsupported(what.to_owned())));
        }
        if !frames.is_second_look && frames.wanted_bytes < self.ahead_bytes_max {
            frames.wanted.push((Arc::clone(image), index));
            frames.wanted_bytes += image.after.frame_bytes();
        }
        // Beyond what is made ahead, a decoded frame is made when its turn comes.
        Ok(later(image, index, decoded.unwrap_or(0)))
    }

    /// Frames must be made before the answer can begin.
    #[must_use]
    pub fn is_wanting(&self) -> bool {
        !self.lock().wanted.is_empty()
    }

    pub(super) fn take_wanted(&self) -> Vec<(Arc<Image>, u32)> {
        let mut frames = self.lock();
        frames.is_second_look = true;
        std::mem::take(&mut frames.wanted)
    }

    pub(super) fn note(&self, key: FrameKey, made: Result<Ready, ArchiveError>) {
        self.lock().known.insert(key, made);
    }
}
