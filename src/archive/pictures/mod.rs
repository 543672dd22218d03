//! Pictures: frames drawn as a person looks at them, and what else an instance
//! can be shown as. Drawing shares the pool of the decoders, so that it never
//! keeps reads waiting; what was drawn is kept in memory while there is room.

mod kept;
mod subject;
mod thumbnail;

use std::sync::Arc;

use bytes::Bytes;

use self::{
    kept::{Kept, Key},
    subject::{Decoded, Subject},
};
use super::{Archive, ArchiveError, Core};
use crate::{
    auth::Permit,
    dicom::DataSet,
    render::{
        RenderError,
        encode::{self, Animation, Format},
        icc,
        picture::{self, Frame, Look},
        presentation, report,
        slide::Mosaic,
        waveform,
    },
    storage::{
        catalog::{InstanceRow, Snapshot},
        thumbnails::Thumbnails,
    },
};

pub use thumbnail::Thumbnail;

/// What drawing may cost.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Memory for what was drawn, and as much for what it was drawn from.
    pub cache_bytes: usize,
    /// Frames of an animation; of more, every n-th is shown.
    pub animation_frames_max: usize,
    /// Bytes of an animation.
    pub animation_bytes_max: usize,
    /// Disk for thumbnails; 0: none are kept.
    pub thumbnail_bytes_max: u64,
}

/// What is to be drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// One frame, counted from 1.
    Frame(u32),
    /// The frame that stands for the instance.
    Representative,
    /// Several as one moving picture.
    Animation(Vec<u32>),
}

/// A text that an instance is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// A report to be read.
    Html,
    /// The same without mark-up.
    Text,
    /// The same as a tree for programs.
    Xml,
    /// A waveform as a drawing.
    Svg,
}

/// The kind of file that is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Picture(Format),
    Page(Page),
}

/// A picture as it is wanted. Invariant: two that are equal in their debug form
/// are drawn alike; what was drawn is kept under that.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    pub what: What,
    pub look: Look,
    pub output: Output,
    /// 1 to 100.
    pub quality: u8,
    pub profile: icc::Asked,
    /// The presentation state it is shown with.
    pub presentation: Option<Box<InstanceRow>>,
}

impl Order {
    /// Nothing is asked for but the frame.
    fn is_plain(&self) -> bool {
        self.look == Look::default()
            && self.quality == encode::QUALITY_DEFAULT
            && self.profile == icc::Asked::No
            && self.presentation.is_none()
    }
}

/// What was drawn, and from what; for all archives of a server.
pub struct Gallery {
    pictures: Kept<Bytes>,
    subjects: Kept<Arc<Subject>>,
}

impl Gallery {
    pub fn new(cache_bytes: usize) -> Self {
        Self { pictures: Kept::new(cache_bytes), subjects: Kept::new(cache_bytes) }
    }
}

/// Where the pictures of one archive are drawn.
pub(super) struct Studio {
    gallery: Arc<Gallery>,
    /// The number of the archive in the gallery.
    of: u64,
    thumbnails: Option<Arc<Thumbnails>>,
    options: Options,
}

impl Studio {
    pub(super) fn new(
        options: Options,
        gallery: Arc<Gallery>,
        of: u64,
        thumbnails: Option<Thumbnails>,
    ) -> Self {
        Self { gallery, of, thumbnails: thumbnails.map(Arc::new), options }
    }

    fn desk(&self, core: &Arc<Core>) -> Desk {
        Desk {
            core: Arc::clone(core),
            gallery: Arc::clone(&self.gallery),
            of: self.of,
            options: self.options,
        }
    }

    async fn picture<F>(&self, key: Key, make: impl FnOnce() -> F) -> Result<Bytes, ArchiveError>
    where
        F: Future<Output = Result<Bytes, ArchiveError>>,
    {
        self.gallery.pictures.get_or_make(own(self.of, &key), Bytes::len, make).await
    }
}

impl Archive {
    /// Draws an instance: from memory, or together with all who ask for the same
    /// picture now.
    ///
    /// # Errors
    /// `Busy` when too many wait; when the instance cannot be drawn that way.
    pub async fn draw(
        &self,
        _permit: &Permit,
        row: InstanceRow,
        order: Order,
    ) -> Result<Bytes, ArchiveError> {
        let key = key_of(&row, &format!("{order:?}"));
        let make = || {
            let desk = self.studio.desk(&self.core);
            self.pixel_pool.run(move || desk.draw(&row, &order).map(Bytes::from))
        };
        self.studio.picture(key, make).await
    }
}

/// A key among those of other archives.
fn own(of: u64, key: &Key) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&of.to_le_bytes()).update(key);
    *hasher.finalize().as_bytes()
}

fn key_of(row: &InstanceRow, wanted: &str) -> Key {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&row.digest.0).update(wanted.as_bytes());
    *hasher.finalize().as_bytes()
}

/// What one drawing works with. Everything here blocks.
struct Desk {
    core: Arc<Core>,
    gallery: Arc<Gallery>,
    of: u64,
    options: Options,
}

impl Desk {
    fn subject(&self, snapshot: &Snapshot, row: &InstanceRow) -> Result<Arc<Subject>, ArchiveError> {
        let key = own(self.of, &row.digest.0);
        if let Some(subject) = self.gallery.subjects.get(&key) {
            return Ok(subject);
        }
        let subject = Arc::new(Subject::read(&self.core, snapshot, row)?);
        self.gallery.subjects.put(key, Arc::clone(&subject), subject.bytes);
        Ok(subject)
    }

    fn draw(&self, row: &InstanceRow, order: &Order) -> Result<Vec<u8>, ArchiveError> {
        let snapshot = self.core.catalog.read()?;
        let subject = self.subject(&snapshot, row)?;
        let format = match order.output {
            Output::Page(page) => return Ok(write(page, &subject.set)?.into_bytes()),
            Output::Picture(format) => format,
        };
        if row.frames.count() == 0 {
            let fits = order.look.viewport.and_then(|viewport| viewport.fits);
            let image = waveform::picture(&subject.set, fits)?;
            return Ok(encode::encode(&image, format, order.quality, None)?);
        }
        if order.what == What::Representative
            && let Some(mosaic) = Mosaic::of(&subject.set, row.frames.count())
        {
            return self.lay(mosaic, &subject, order, format);
        }
        let number = match &order.what {
            What::Animation(numbers) => return self.animate(&subject, numbers, order),
            What::Frame(number) => *number,
            What::Representative => picture::representative(&subject.set, row.frames.count()),
        };
        if format == Format::Jpeg
            && order.is_plain()
            && !picture::has_overlays(&subject.set)
            && let Some(picture) = subject.stored_picture(&self.core, number)?
        {
            return Ok(picture);
        }
        let frame = subject.frame(&self.core, number)?;
        let frame = frame_of(&subject, &frame, number);
        let image = match &order.presentation {
            Some(row) => {
                let state = self.subject(&snapshot, row)?;
                let fits = order.look.viewport.and_then(|viewport| viewport.fits);
                let image = presentation::draw(&frame, &state.set, fits)?;
                picture::finish(
                    image,
                    &subject.set,
                    frame.index,
                    &Look { viewport: None, ..order.look.clone() },
                )?
            }
            None => picture::draw(&frame, &order.look)?,
        };
        let (image, profile) = icc::apply(image, &subject.set, order.profile)?;
        Ok(encode::encode(&image, format, order.quality, profile.as_ref())?)
    }

    /// A level of a whole slide.
    fn lay(
        &self,
        mut mosaic: Mosaic,
        subject: &Subject,
        order: &Order,
        format: Format,
    ) -> Result<Vec<u8>, ArchiveError> {
        let mut look = Look { window: order.look.window, without_overlays: true, ..Look::default() };
        let tiles: Vec<u32> = mosaic.frames().collect();
        look.range = self.common_range(subject, &tiles, &look)?;
        for number in tiles {
            let frame = subject.frame(&self.core, number)?;
            mosaic.put(number, picture::draw(&frame_of(subject, &frame, number), &look)?)?;
        }
        let image = picture::finish(mosaic.into_image(), &subject.set, 0, &order.look)?;
        let (image, profile) = icc::apply(image, &subject.set, order.profile)?;
        Ok(encode::encode(&image, format, order.quality, profile.as_ref())?)
    }

    /// From the smallest to the largest value of all these frames, if they are gray and no
    /// window is asked for: each by itself, an animation flickers and tiles do not fit together.
    fn common_range(
        &self,
        subject: &Subject,
        numbers: &[u32],
        look: &Look,
    ) -> Result<Option<(f64, f64)>, ArchiveError> {
        let mut all: Option<(f64, f64)> = None;
        for number in numbers.iter().filter(|_| look.window.is_none()) {
            let frame = subject.frame(&self.core, *number)?;
            let Some((low, high)) = picture::range(&frame_of(subject, &frame, *number))? else { break };
            let so_far = all.unwrap_or((low, high));
            all = Some((f64::min(so_far.0, low), f64::max(so_far.1, high)));
        }
        Ok(all)
    }

    fn animate(&self, subject: &Subject, numbers: &[u32], order: &Order) -> Result<Vec<u8>, ArchiveError> {
        let step = numbers.len().div_ceil(self.options.animation_frames_max.max(1)).max(1);
        let numbers: Vec<u32> = numbers.iter().copied().step_by(step).collect();
        let mut look = order.look.clone();
        look.range = self.common_range(subject, &numbers, &look)?;
        let mut animation: Option<Animation> = None;
        for number in numbers {
            let frame = subject.frame(&self.core, number)?;
            let image = picture::draw(&frame_of(subject, &frame, number), &look)?;
            let running = match &mut animation {
                Some(running) => running,
                None => animation.insert(Animation::begin(image.width, image.height)?),
            };
            running.add(&image, picture::frame_time_ms(&subject.set, number - 1) * step as f64)?;
            if running.length() > self.options.animation_bytes_max {
                return Err(RenderError::Parameter {
                    name: "viewport",
                    detail: format!(
                        "the animation would be larger than {} bytes; ask for a smaller viewport or for fewer frames",
                        self.options.animation_bytes_max
                    ),
                }
                .into());
            }
        }
        let animation = animation.ok_or(ArchiveError::NotFound("frame"))?;
        Ok(animation.end()?)
    }
}

fn write(page: Page, set: &DataSet) -> Result<String, RenderError> {
    Ok(match page {
        Page::Html => report::html(set),
        Page::Text => report::text(set),
        Page::Xml => report::xml(set),
        Page::Svg => waveform::svg(set)?,
    })
}

fn frame_of<'a>(subject: &'a Subject, frame: &'a Decoded<'_>, number: u32) -> Frame<'a> {
    Frame {
        bytes: &frame.bytes,
        description: frame.description,
        set: &subject.set,
        index: number.saturating_sub(1),
    }
}
