//! Bulk data and pixel data: PS3.18 sections 10.4.1.1.5, 10.4.1.1.6 and
//! 10.4.1.5. One value by its BulkDataURI, or all of them; every part says by
//! `Content-Location` which BulkDataURI it is the value of.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    FrameParts, PIXEL_DATA,
    answer::{Asked, Gathered, identity_of, instance_url, items, one_row},
    frame_parts,
    own_media::Presented,
    stored_pixels,
};
use crate::{
    archive::{ArchiveError, Frames, InstanceRow, Pieces, Scope, View},
    http::{
        Problem, State,
        body::{Part, Representation},
        negotiate::{Accept, Content, Form, How, Items, Media, Stored},
        params,
    },
};

/// Pixel Data, Float Pixel Data and Double Float Pixel Data of the instance
/// itself: not of an icon, and not private (PS3.18 section 10.4.1.1.6).
const PIXELS: [&str; 3] = [PIXEL_DATA, "7FE00008", "7FE00009"];

/// Which values of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    Pixels,
}

impl Wanted {
    fn includes(self, path: &str) -> bool {
        self == Self::All || PIXELS.contains(&path)
    }

    fn name(self) -> &'static str {
        match self {
            Self::All => "bulk data in this resource",
            Self::Pixels => "pixel data in this resource",
        }
    }
}

/// One value by its BulkDataURI.
pub async fn one_bulkdata(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
) -> Result<HttpResponse, Problem> {
    let path = params::part(request, "bulkdata").to_owned();
    let choices = Accept::of(request, state.config.strict.accept)?.bulk(Items::One)?;
    let asked = Asked::new(state, request, choices)?;
    asked.answer(state, request, move |view, asked| represent_bulkdata(view, asked, &scope, &path)).await
}

fn represent_bulkdata(
    view: &View<'_>,
    asked: &Asked,
    scope: &Scope,
    path: &str,
) -> Result<Representation, Problem> {
    let row = one_row(view, scope)?;
    let Some((answer, presented)) = bulk_parts(view, asked, &row, path)? else {
        return Err(asked.not_acceptable(&row.transfer_syntax));
    };
    let mut identity = identity_of(&row);
    identity.update(path.as_bytes());
    let FrameParts { mut parts, single, name, partial } = answer;
    match (single, parts.len()) {
        (true, 1) => {
            let single = Representation::single(parts.remove(0), &identity);
            Ok(single.presented(presented).partial(partial))
        }
        (true, _) => Err(several_frames()),
        (false, _) => Ok(asked.multipart(&name, parts, &identity).partial(partial)),
    }
}

fn several_frames() -> Problem {
    Problem::not_acceptable(
        "the pixel data are several frames: ask for multipart/related, or for one frame by /frames/1",
    )
}

/// One value as parts: one, or one for each frame of compressed pixel data.
fn bulk_parts(
    view: &View<'_>,
    asked: &Asked,
    row: &InstanceRow,
    path: &str,
) -> Result<Option<(FrameParts, Option<Presented>)>, ArchiveError> {
    let url = format!("{}/bulkdata/{path}", instance_url(&asked.base_url, row));
    let compressed_frames = matches!(row.frames, Frames::Single(_) | Frames::Table { .. });
    if path == PIXEL_DATA && compressed_frames {
        if let Some(parts) = all_frames_as_one(view, asked, row, &url)? {
            return Ok(Some((parts, None)));
        }
        let numbers: Vec<u32> = (1..=row.frames.count()).collect();
        let parts = frame_parts(view, asked, row, &numbers, &|_| url.clone())?;
        return Ok(parts.map(|parts| (parts, None)));
    }
    let value = view.bulk(row, path)?;
    let media_type = value.media_type.unwrap_or_default();
    let content = match media_type.as_str() {
        _ if path == PIXEL_DATA => Content::Pixels,
        "" => Content::Bytes,
        document => Content::Document(document),
    };
    let decodable = content == Content::Pixels && stored_pixels(row).decodable;
    let stored = Stored { transfer_syntax: &row.transfer_syntax, content, decodable };
    let Some(delivery) = asked.choices.deliver(&stored) else { return Ok(None) };
    if delivery.how == How::Encoded {
        let numbers: Vec<u32> = (1..=row.frames.count()).collect();
        let parts = frame_parts(view, asked, row, &numbers, &|_| url.clone())?;
        return Ok(parts.map(|parts| (parts, None)));
    }
    // A document in its own media type ends where it ends, without the byte
    // that makes a value even.
    let is_document = delivery.media == Media::Document;
    let pieces = if is_document { value.pieces.slice(0..value.document_bytes) } else { value.pieces };
    let part = Part { content_type: delivery.content_type(), location: Some(url), pieces };
    let is_own = is_document || matches!(row.frames, Frames::Video(_));
    let presented = is_own.then(|| Presented::new(delivery.name, &row.path.instance));
    let parts = FrameParts {
        parts: vec![part],
        single: delivery.form == Form::Single,
        name: delivery.name.to_owned(),
        partial: None,
    };
    Ok(Some((parts, presented)))
}

/// Compressed pixel data that go out decoded are one part, as native ones are
/// (PS3.18 section 8.7.3.3.1). None: they do not go out decoded.
fn all_frames_as_one(
    view: &View<'_>,
    asked: &Asked,
    row: &InstanceRow,
    url: &str,
) -> Result<Option<FrameParts>, ArchiveError> {
    let stored = stored_pixels(row);
    let Some(delivery) = asked.choices.deliver(&stored).filter(|delivery| delivery.how == How::Decoded)
    else {
        return Ok(None);
    };
    let image = view.image(row, delivery.transfer_syntax.unwrap_or_default())?;
    let mut pieces = Pieces::new();
    for index in 0..image.frames() {
        pieces.append(asked.made.frame(&image, index)?);
    }
    if image.is_joined() {
        pieces = Pieces::new();
        pieces.push_joined(&image);
    }
    let part = Part { content_type: delivery.content_type(), location: Some(url.to_owned()), pieces };
    Ok(Some(FrameParts {
        parts: vec![part],
        single: delivery.form == Form::Single,
        name: delivery.name.to_owned(),
        partial: None,
    }))
}

/// Every value of every instance.
pub async fn all_bulkdata(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
) -> Result<HttpResponse, Problem> {
    all_values(state, request, scope, Items::Many, Wanted::All).await
}

/// The pixel data of every instance.
pub async fn all_pixel_data(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
) -> Result<HttpResponse, Problem> {
    // Of one instance it may well be one part, such as a video.
    let items = items(&scope);
    all_values(state, request, scope, items, Wanted::Pixels).await
}

async fn all_values(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
    items: Items,
    wanted: Wanted,
) -> Result<HttpResponse, Problem> {
    let choices = Accept::of(request, state.config.strict.accept)?.bulk(items)?;
    let asked = Asked::new(state, request, choices)?;
    asked.answer(state, request, move |view, asked| represent_values(view, asked, &scope, wanted)).await
}

fn represent_values(
    view: &View<'_>,
    asked: &Asked,
    scope: &Scope,
    wanted: Wanted,
) -> Result<Representation, Problem> {
    let mut gathered = Gathered::new(items(scope));
    gathered.identity.update(wanted.name().as_bytes());
    let mut root = None;
    let mut single = None;
    let mut found = false;
    for row in view.instances(scope)? {
        for path in view.bulk_paths(&row)?.into_iter().filter(|path| wanted.includes(path)) {
            found = true;
            match bulk_parts(view, asked, &row, &path) {
                Ok(Some((answer, presented))) => {
                    if answer.single {
                        single = Some(presented);
                    }
                    gathered.say(answer.partial);
                    root.get_or_insert(answer.name);
                    gathered.take(view, &row, Ok(answer.parts))?;
                }
                Ok(None) => gathered.leave_out(&row),
                Err(error) => gathered.take(view, &row, Err(error))?,
            }
        }
    }
    if !found {
        return Err(Problem::not_found(wanted.name()));
    }
    let partial = gathered.settle(|syntax| asked.not_acceptable(syntax))?;
    let representation = match (single, gathered.parts.len()) {
        (Some(presented), 1) => {
            Representation::single(gathered.parts.remove(0), &gathered.identity).presented(presented)
        }
        (Some(_), _) => return Err(several_frames()),
        (None, _) => {
            let root = root.unwrap_or_else(|| "application/octet-stream".to_owned());
            asked.multipart(&root, gathered.parts, &gathered.identity)
        }
    };
    Ok(representation.partial(partial))
}
