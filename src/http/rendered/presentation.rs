//! Presentation states, as the target of a rendering and for an image of the URI
//! service (PS3.18 sections 8.3.5.1.6, 9.5.2.3 and 10.4.1.1.3): which images a
//! state is of, in which order, and what may not be asked for beside it.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{Kind, Wish, multipart, single};
use crate::{
    archive::{ArchiveError, InstanceRow, View, What},
    dicom::{InstancePath, InstanceUid, SeriesUid},
    http::{
        Problem, State,
        negotiate::{Accept, Form, Items},
    },
    render::presentation,
};

/// Renders all that a state is of, or the first of it as a single part.
///
/// # Errors
/// 400 for parameters that a state excludes, and for images that are missing.
pub async fn rendered(
    state: &Data<State>,
    request: &HttpRequest,
    accept: &Accept,
    row: InstanceRow,
    wish: Wish,
) -> Result<HttpResponse, Problem> {
    check(&wish)?;
    let chosen = accept.rendered(Kind::Presentation.offers(), Items::Preview)?[0];
    let items_max = state.config.limits.request_frames_max;
    let of_view = row.clone();
    let permit = state.permit(request);
    let mut items = state.archive.retrieve(&permit, move |view| items(view, &of_view, items_max)).await?;
    let wish = Wish { presentation: Some(Box::new(row)), ..wish };
    if chosen.form == Form::Multipart {
        return multipart::stream(state, request, items, 0, chosen.media, wish, true).await;
    }
    let first = items.remove(0);
    let base_url = state.base_url(request)?;
    single(state, request, first.row, first.what, chosen.media, wish, &base_url).await
}

/// What a state says itself, and nobody else.
pub fn check(wish: &Wish) -> Result<(), Problem> {
    if wish.look.window.is_some() {
        let detail = "a presentation state has its own window: leave window (windowCenter, windowWidth) out";
        return Err(Problem::invalid_parameter("window", detail));
    }
    if wish.look.viewport.is_some_and(|viewport| viewport.source != <_>::default()) {
        let detail = "a presentation state says itself which part of an image is shown: the viewport is its width \
                      and height and nothing else, and there is no region";
        return Err(Problem::invalid_parameter("viewport", detail));
    }
    Ok(())
}

/// Every frame that a state is of: single images of one plane along its normal,
/// anything else as the state lists it.
fn items(view: &View<'_>, row: &InstanceRow, items_max: usize) -> Result<Vec<multipart::Item>, Problem> {
    let set = view.data_set(row)?;
    let mut items = Vec::new();
    let mut planes = Vec::new();
    for reference in presentation::references(&set) {
        let image = image_of(view, &row.path, &reference)?;
        let count = image.frames.count();
        let frames = if reference.frames.is_empty() { (1..=count).collect() } else { reference.frames };
        if let Some(frame) = frames.iter().find(|frame| **frame > count) {
            return Err(missing(&format!("frame {frame} of {}, which has {count}", image.path.instance)));
        }
        if items.len() + frames.len() > items_max {
            return Err(Problem::too_large(format!(
                "it would be more than {items_max} pictures (limits.request_frames_max)"
            )));
        }
        planes.push(if count == 1 { presentation::Plane::of(&view.data_set(&image)?) } else { None });
        items.extend(
            frames.into_iter().map(|frame| multipart::Item { row: image.clone(), what: What::Frame(frame) }),
        );
    }
    if items.is_empty() {
        return Err(missing("any image: it refers to none"));
    }
    let planes: Option<Vec<presentation::Plane>> = planes.into_iter().collect();
    if let Some(heights) = planes.as_deref().and_then(presentation::along_the_normal) {
        let mut ordered: Vec<_> = heights.into_iter().zip(items).collect();
        ordered.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        return Ok(ordered.into_iter().map(|(_, item)| item).collect());
    }
    Ok(items)
}

/// The image of a reference, which is of the study of the state (PS3.3 section
/// C.11.11).
fn image_of(
    view: &View<'_>,
    state: &InstancePath,
    reference: &presentation::Reference,
) -> Result<InstanceRow, Problem> {
    let uids = SeriesUid::parse(&reference.series).ok().zip(InstanceUid::parse(&reference.instance).ok());
    let (series, instance) = uids.ok_or_else(|| missing("an image: its UIDs are malformed"))?;
    let path = InstancePath { study: state.study.clone(), series, instance };
    match view.instance(&path) {
        Ok(image) if image.frames.count() > 0 => Ok(image),
        Ok(_) => Err(missing(&format!("{path}: it has no frames"))),
        Err(ArchiveError::NotFound(_) | ArchiveError::Gone(_)) => Err(missing(&path.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn missing(what: &str) -> Problem {
    Problem::invalid_parameter("presentation state", format!("the presentation state lacks {what}"))
}

/// The state that a request of the URI service names for an image, and the frame
/// of it that is shown.
///
/// # Errors
/// 400 when it is not there, is no presentation state, or not of this image.
pub fn named(
    view: &View<'_>,
    image: &InstanceRow,
    (series, instance): (&str, &str),
    frame: Option<u32>,
) -> Result<(InstanceRow, u32), Problem> {
    let refused = |detail: String| Problem::invalid_parameter("presentationUID", detail);
    let series =
        SeriesUid::parse(series).map_err(|error| Problem::invalid_uid("presentationSeriesUID", error))?;
    let instance =
        InstanceUid::parse(instance).map_err(|error| Problem::invalid_uid("presentationUID", error))?;
    let path = InstancePath { study: image.path.study.clone(), series, instance };
    let row = match view.instance(&path) {
        Ok(row) if presentation::is_drawn(&row.sop_class) => row,
        Ok(row) => {
            let class = &row.sop_class;
            return Err(refused(format!("SOP class {class} is no presentation state that is drawn here")));
        }
        Err(ArchiveError::NotFound(_) | ArchiveError::Gone(_)) => {
            return Err(refused("there is no such presentation state in this study".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let mut frames = presentation::references(&view.data_set(&row)?)
        .into_iter()
        .filter(|reference| reference.instance == image.path.instance.as_str())
        .map(|reference| reference.frames)
        .peekable();
    if frames.peek().is_none() {
        return Err(refused("the presentation state is not of this image".to_owned()));
    }
    let frames: Vec<Vec<u32>> = frames.collect();
    let is_of = |number: u32| frames.iter().any(|list| list.is_empty() || list.contains(&number));
    let first = frames.iter().find_map(|list| list.first().copied()).filter(|_| !is_of(1)).unwrap_or(1);
    let number = frame.unwrap_or(first);
    if !is_of(number) || number > image.frames.count() {
        return Err(refused(format!("the presentation state is not of frame {number} of this image")));
    }
    Ok((row, number))
}
