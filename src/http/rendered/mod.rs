//! Rendered resources and thumbnails (PS3.18 sections 10.4.1.1.3 and 10.4.1.1.4):
//! which picture of what, in which media type. Drawing is the archive's.
//!
//! A single part of a study or a series is the instance that stands for it;
//! with `strict.accept` a collection is only ever multipart (table 10.4.4-1
//! note 3). Of an instance of several frames a single part is the frame that
//! stands for it, or all of them as an animated GIF.

mod multipart;
mod presentation;
mod subject;
mod wish;

use actix_web::{HttpRequest, HttpResponse, web::Data};

use self::{
    multipart::{Item, stream},
    subject::{Kind, identity, instance_url},
    wish::{UriWish, Wish, thumbnail_size},
};
use super::{
    Problem, State,
    body::{self, Part, Representation},
    negotiate::{Accept, Form, Items, Rendered, UriMedia},
    params,
    wado::own_media,
};
use crate::{
    archive::{ArchiveError, InstanceRow, Order, Output, Pieces, Scope, Thumbnail, View, What},
    dicom::InstancePath,
    render::{encode::Format, icc, picture::Look},
};

macro_rules! rendered_routes {
    ($($name:ident, $function:ident, $scope:expr, $path:literal, $id:literal, $summary:literal, $params:ty, $query:ty;)*) => {$(
        #[utoipa::path(
            get, path = $path, tag = "Rendered", operation_id = $id, summary = $summary,
            params($params, $query), responses(super::openapi::RenderedResponses)
        )]
        pub async fn $name(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
            let target = $scope(&state, &request)?;
            $function(&state, &request, target).await
        }
    )*};
}

rendered_routes! {
    study, rendered, study_target, "/dicomweb/studies/{study}/rendered", "retrieveRenderedStudy",
        "Render a study", super::openapi::StudyPath, super::openapi::RenderedQuery;
    series, rendered, series_target, "/dicomweb/studies/{study}/series/{series}/rendered", "retrieveRenderedSeries",
        "Render a series", super::openapi::SeriesPath, super::openapi::RenderedQuery;
    instance, rendered, instance_target,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered", "retrieveRenderedInstance",
        "Render an instance, or present it as its own media type",
        super::openapi::InstancePath, super::openapi::RenderedQuery;
    frames, rendered, frames_target,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/rendered",
        "retrieveRenderedFrames", "Render frames of an instance",
        super::openapi::FramesPath, super::openapi::RenderedQuery;
    frame_alias, rendered, frames_target,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/rendered/{frames}",
        "retrieveRenderedFramesAlias", "Render frames of an instance, as some viewers ask for them",
        super::openapi::FramesPath, super::openapi::RenderedQuery;
    study_thumbnail, thumbnail, study_target, "/dicomweb/studies/{study}/thumbnail", "retrieveStudyThumbnail",
        "A small picture of a study", super::openapi::StudyPath, super::openapi::ThumbnailQuery;
    series_thumbnail, thumbnail, series_target,
        "/dicomweb/studies/{study}/series/{series}/thumbnail", "retrieveSeriesThumbnail",
        "A small picture of a series", super::openapi::SeriesPath, super::openapi::ThumbnailQuery;
    instance_thumbnail, thumbnail, instance_target,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/thumbnail", "retrieveInstanceThumbnail",
        "A small picture of an instance", super::openapi::InstancePath, super::openapi::ThumbnailQuery;
    frames_thumbnail, thumbnail, frames_target,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/frames/{frames}/thumbnail",
        "retrieveFramesThumbnail", "A small picture of the first of these frames",
        super::openapi::FramesPath, super::openapi::ThumbnailQuery;
    thumbnail_alias, thumbnail, frames_target,
        "/dicomweb/studies/{study}/series/{series}/instances/{instance}/thumbnail/{frames}",
        "retrieveFramesThumbnailAlias", "A small picture of a frame, as some viewers ask for it",
        super::openapi::FramesPath, super::openapi::ThumbnailQuery;
}

/// What is to be rendered: a scope, or some frames of an instance.
struct Target {
    scope: Scope,
    frames: Option<Vec<u32>>,
}

fn study_target(_: &State, request: &HttpRequest) -> Result<Target, Problem> {
    Ok(Target { scope: Scope::Study(params::study(request)?), frames: None })
}

fn series_target(_: &State, request: &HttpRequest) -> Result<Target, Problem> {
    Ok(Target { scope: Scope::Series(params::series(request)?), frames: None })
}

fn instance_target(_: &State, request: &HttpRequest) -> Result<Target, Problem> {
    Ok(Target { scope: Scope::Instance(params::instance(request)?), frames: None })
}

fn frames_target(state: &State, request: &HttpRequest) -> Result<Target, Problem> {
    let frames = params::frames(request, state.config.limits.request_frames_max)?;
    Ok(Target { scope: Scope::Instance(params::instance(request)?), frames: Some(frames) })
}

async fn rendered(
    state: &Data<State>,
    request: &HttpRequest,
    target: Target,
) -> Result<HttpResponse, Problem> {
    let accept = Accept::of(request, state.config.strict.accept)?;
    accept.refuse_mixed()?;
    let wish = Wish::of(request, state.config.render.side_max)?;
    let scope = target.scope.clone();
    let permit = state.permit(request);
    let found = state.archive.retrieve(&permit, move |view| {
        let row = view.representative(&scope)?;
        let kind = Kind::of(view, &row)?;
        Ok::<_, ArchiveError>((row, kind))
    });
    let (row, kind) = found.await?;
    if kind == Kind::Own && target.frames.is_none() && matches!(target.scope, Scope::Instance(_)) {
        return own_media::own_media(state, request, target.scope).await;
    }
    let is_preview = matches!(target.scope, Scope::Instance(_)) || !state.config.strict.accept;
    if kind == Kind::Presentation && target.frames.is_none() {
        return presentation::rendered(state, request, &accept, row, wish).await;
    }
    let frames = target.frames.map(|frames| checked_frames(&row, frames)).transpose()?;
    let items = match &frames {
        Some(frames) if frames.len() > 1 => Items::Many,
        Some(_) => Items::One,
        None if is_preview => Items::Preview,
        None => Items::Many,
    };
    let offers = kind.offers();
    if offers.is_empty() {
        return Err(kind.refusal(&row));
    }
    // An animation is one item, however many frames it has.
    let chosen = match accept.rendered(offers, items) {
        Err(_) if items == Items::Many && frames.is_some() => accept.rendered(&[Rendered::Gif], Items::One),
        chosen => chosen,
    }?[0];
    let base_url = state.base_url(request)?;
    if chosen.form == Form::Multipart {
        let scope = target.scope.clone();
        let whole = matches!(scope, Scope::Instance(_));
        let (items, left_out) = match frames {
            Some(frames) => (
                frames.into_iter().map(|frame| Item { row: row.clone(), what: What::Frame(frame) }).collect(),
                0,
            ),
            None => {
                let items_max = state.config.limits.request_frames_max;
                let find = move |view: &View<'_>| multipart::items(view, &scope, chosen.media, items_max);
                state.archive.retrieve(&permit, find).await?
            }
        };
        return stream(state, request, items, left_out, chosen.media, wish, whole).await;
    }
    let what = match (frames, chosen.media, row.frames.count()) {
        (Some(frames), Rendered::Gif, _) if frames.len() > 1 => What::Animation(frames),
        (Some(frames), ..) => What::Frame(frames[0]),
        (None, Rendered::Gif, 2..) => What::Animation((1..=row.frames.count()).collect()),
        (None, ..) => What::Representative,
    };
    single(state, request, row, what, chosen.media, wish, &base_url).await
}

/// An instance through the URI service (PS3.18 section 9.5): a single part,
/// whatever it is.
///
/// # Errors
/// 400 for a parameter that does not fit, 406 when it cannot be given so.
pub async fn by_uri(
    state: &Data<State>,
    request: &HttpRequest,
    accept: Accept,
    path: InstancePath,
    pairs: &[(String, String)],
) -> Result<HttpResponse, Problem> {
    let mut asked = UriWish::of(pairs, state.config.render.side_max)?;
    if asked.presentation.is_some() {
        presentation::check(&asked.wish)?;
    }
    let (named, frame) = (asked.presentation.take(), asked.frame);
    let base_url = state.base_url(request)?;
    let permit = state.permit(request);
    let scope = Scope::Instance(path);
    let of_view = base_url.clone();
    let found = state.archive.retrieve(&permit, move |view| {
        let row = view.representative(&scope)?;
        let kind = Kind::of(view, &row)?;
        let own = match kind {
            Kind::Own => Some(own_media::represent(view, &accept, &of_view, &scope)?),
            Kind::Image | Kind::Report | Kind::Waveform | Kind::Presentation | Kind::Other => None,
        };
        let presented = match &named {
            Some((series, instance)) if kind == Kind::Image => {
                Some(presentation::named(view, &row, (series, instance), frame)?)
            }
            Some(_) => {
                let detail = "a presentation state is of an image, which this instance is not";
                return Err(Problem::invalid_parameter("presentationUID", detail));
            }
            None => None,
        };
        Ok::<_, Problem>((row, kind, own, presented, accept))
    });
    let (row, kind, own, presented, accept) = found.await?;
    if let Some(own) = own {
        return own.send(state, request, &base_url).await;
    }
    let offers = kind.offers();
    if offers.is_empty() {
        return Err(kind.refusal(&row));
    }
    let UriMedia::Rendered(media) = accept.uri_service(offers)? else {
        return Err(Problem::not_acceptable("application/dicom is not rendered"));
    };
    if kind == Kind::Presentation && asked.frame.is_none() {
        return presentation::rendered(state, request, &accept, row, asked.wish).await;
    }
    if let Some((presented, frame)) = presented {
        let wish = Wish { presentation: Some(Box::new(presented)), ..asked.wish };
        return single(state, request, row, What::Frame(frame), media, wish, &base_url).await;
    }
    let count = row.frames.count();
    let what = match (asked.frame, media) {
        (Some(frame), _) if count < 2 || frame > count => {
            let detail =
                format!("frameNumber {frame}: the instance has {count} frames; leave it out for one");
            return Err(Problem::invalid_parameter("frameNumber", detail));
        }
        (Some(frame), _) => What::Frame(frame),
        (None, Rendered::Gif) if count > 1 => What::Animation((1..=count).collect()),
        (None, _) => What::Representative,
    };
    single(state, request, row, what, media, asked.wish, &base_url).await
}

/// One picture or page as the whole answer.
async fn single(
    state: &Data<State>,
    request: &HttpRequest,
    row: InstanceRow,
    what: What,
    media: Rendered,
    wish: Wish,
    base_url: &str,
) -> Result<HttpResponse, Problem> {
    let location = match &what {
        What::Frame(number) => format!("{}/frames/{number}", instance_url(base_url, &row)),
        What::Animation(_) | What::Representative => instance_url(base_url, &row),
    };
    let order = order(what, media, &wish)?;
    let identity = identity(&row, &format!("{order:?}"));
    let content_type = subject::content_type(media);
    if let Some(unchanged) = body::unchanged(request, &identity, &content_type) {
        return Ok(unchanged);
    }
    let presented = subject::presented(media, &row);
    let bytes = state.archive.draw(&state.permit(request), row, order).await?;
    let mut pieces = Pieces::new();
    pieces.push_bytes(bytes);
    let part = Part { content_type, location: Some(location), pieces };
    let representation = Representation::single(part, &identity).warned(wish.warning).presented(presented);
    representation.send(state, request, base_url).await
}

/// What the archive is to draw.
fn order(what: What, media: Rendered, wish: &Wish) -> Result<Order, Problem> {
    let output =
        subject::output_of(media).ok_or_else(|| Problem::not_acceptable("it cannot be drawn as that"))?;
    let format = match output {
        Output::Picture(format) => format,
        // A page is the same for everybody.
        Output::Page(_) => {
            let (look, quality, profile) = (Look::default(), 0, icc::Asked::No);
            let what = What::Representative;
            return Ok(Order { what, look, output, quality, profile, presentation: None });
        }
    };
    if wish.profile != icc::Asked::No && !format.carries_profile() {
        let detail =
            format!("a {} carries no colour profile here; ask for image/jpeg or image/png", media.name());
        return Err(Problem::invalid_parameter("iccprofile", detail));
    }
    // What does not change the picture must not make another one of it.
    let quality = if matches!(format, Format::Jpeg | Format::Pdf) { wish.quality } else { 0 };
    let (look, presentation) = (wish.look.clone(), wish.presentation.clone());
    Ok(Order { what, look, output, quality, profile: wish.profile, presentation })
}

/// Frames that are there, as they were asked for.
fn checked_frames(row: &InstanceRow, frames: Vec<u32>) -> Result<Vec<u32>, Problem> {
    let count = row.frames.count();
    if count == 0 {
        return Err(Problem::not_found("frame: the instance has no frames"));
    }
    match frames.iter().find(|number| **number > count) {
        Some(number) => Err(Problem::not_found(&format!("frame {number}: the instance has {count} frames"))),
        None => Ok(frames),
    }
}

async fn thumbnail(
    state: &Data<State>,
    request: &HttpRequest,
    target: Target,
) -> Result<HttpResponse, Problem> {
    let offers = [Rendered::Jpeg, Rendered::Png, Rendered::Gif];
    let chosen = Accept::of(request, state.config.strict.accept)?.rendered(&offers, Items::One)?[0];
    let options = &state.config.render;
    let (width, height) = thumbnail_size(request, options.thumbnail_side, options.side_max)?;
    let permit = state.permit(request);
    let scope = target.scope;
    let row = state.archive.retrieve(&permit, move |view| view.representative(&scope)).await?;
    let frame = match target.frames {
        Some(frames) => checked_frames(&row, frames)?.first().copied(),
        None => None,
    };
    let format = match subject::output_of(chosen.media) {
        Some(Output::Picture(format)) => format,
        Some(Output::Page(_)) | None => Format::Jpeg,
    };
    let wanted = Thumbnail { frame, width, height, format };
    let identity = identity(&row, &format!("{wanted:?}"));
    if chosen.form == Form::Single
        && let Some(unchanged) = body::unchanged(request, &identity, chosen.media.name())
    {
        return Ok(unchanged);
    }
    let base_url = state.base_url(request)?;
    let location = instance_url(&base_url, &row);
    let location = frame.map_or(location.clone(), |number| format!("{location}/frames/{number}"));
    let bytes = state.archive.thumbnail(&permit, row, wanted).await?;
    let mut pieces = Pieces::new();
    pieces.push_bytes(bytes);
    let part = Part { content_type: chosen.media.name().to_owned(), location: Some(location), pieces };
    let representation = match chosen.form {
        Form::Single => Representation::single(part, &identity),
        Form::Multipart => {
            let (key, root) = (&state.boundary_key, chosen.media.name());
            Representation::multipart(key, root, vec![part], &base_url, &identity)
        }
    };
    representation.send(state, request, &base_url).await
}
