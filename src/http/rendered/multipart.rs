//! Many pictures in one answer: drawn one by one while they are sent, so that
//! the answer for a long series needs the memory of one picture and begins with
//! the first. Its length is not known beforehand.

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use bytes::{Bytes, BytesMut};
use futures_util::stream;

use super::{
    order,
    subject::{Kind, identity, instance_url},
    wish::Wish,
};
use crate::{
    archive::{InstanceRow, Order, Scope, View, What},
    auth::Permit,
    http::{
        Problem, State, body,
        multipart::{self, Layout, PartHead},
        negotiate::Rendered,
    },
};

/// One part of the answer.
pub struct Item {
    pub row: InstanceRow,
    pub what: What,
}

/// Every frame of every instance that can be given as this, and how many
/// instances cannot.
///
/// # Errors
/// 413 for more parts than one request may ask for; 406 when nothing is left.
pub fn items(
    view: &View<'_>,
    scope: &Scope,
    media: Rendered,
    items_max: usize,
) -> Result<(Vec<Item>, usize), Problem> {
    let mut items = Vec::new();
    let mut left_out = 0;
    for row in view.instances(scope)? {
        // The images of a presentation state are in it by themselves.
        let kind = Kind::of(view, &row)?;
        if kind == Kind::Presentation || !kind.offers().contains(&media) {
            left_out += 1;
            continue;
        }
        let frames = row.frames.count();
        if items.len() + frames.max(1) as usize > items_max {
            return Err(Problem::too_large(format!(
                "it would be more than {items_max} pictures (limits.request_frames_max); ask series by series, or for frames"
            )));
        }
        if frames == 0 {
            items.push(Item { row, what: What::Representative });
        } else {
            items.extend((1..=frames).map(|frame| Item { row: row.clone(), what: What::Frame(frame) }));
        }
    }
    if items.is_empty() {
        return Err(Problem::not_acceptable(format!("nothing in it can be given as {}", media.name())));
    }
    Ok((items, left_out))
}

/// Sends all items. Of several instances one that cannot be drawn is left out;
/// `whole` breaks the answer off instead.
pub async fn stream(
    state: &Data<State>,
    request: &HttpRequest,
    items: Vec<Item>,
    left_out: usize,
    media: Rendered,
    wish: Wish,
    whole: bool,
) -> Result<HttpResponse, Problem> {
    let base_url = state.base_url(request)?;
    let mut hasher = blake3::Hasher::new();
    for item in &items {
        hasher.update(identity(&item.row, &format!("{:?}", item.what)).finalize().as_bytes());
    }
    hasher.update(format!("{wish:?}").as_bytes());
    if let Some(unchanged) = body::unchanged(request, &hasher, media.name()) {
        return Ok(unchanged);
    }
    let etag = body::etag(&hasher, media.name());
    let boundary = multipart::boundary(&state.boundary_key, &etag.to_string());
    let mut response = HttpResponse::Ok();
    response
        .content_type(multipart::content_type(media.name(), &boundary))
        .insert_header((header::ETAG, etag.to_string()))
        .insert_header((header::CACHE_CONTROL, "private, no-cache"))
        .insert_header((header::VARY, "Accept, Origin"));
    if left_out > 0 {
        let why = format!("{left_out} instances cannot be given as {} and are left out", media.name());
        response
            .status(actix_web::http::StatusCode::PARTIAL_CONTENT)
            .insert_header((header::WARNING, body::warning(&base_url, &why)));
    }
    if let Some(warning) = &wish.warning {
        response.append_header((header::WARNING, body::warning(&base_url, warning)));
    }
    if request.method() == actix_web::http::Method::HEAD {
        return Ok(response.finish());
    }
    let mut outflow = Outflow {
        state: state.clone(),
        permit: state.permit(request),
        base_url,
        layout: Layout::new(&boundary),
        items: items.into_iter(),
        media,
        wish,
        whole,
        ended: false,
    };
    // The first is drawn before the status is sent, so that its failure is an
    // answer of its own.
    let first = outflow.next().await?;
    let chunks = stream::unfold((first, outflow), |(ready, mut outflow)| async move {
        if let Some(bytes) = ready {
            return Some((Ok::<_, Problem>(bytes), (None, outflow)));
        }
        match outflow.next().await {
            Ok(Some(bytes)) => Some((Ok(bytes), (None, outflow))),
            Ok(None) => None,
            Err(problem) => {
                tracing::error!(%problem, "a rendered answer was broken off");
                outflow.ended = true;
                Some((Err(problem), (None, outflow)))
            }
        }
    });
    Ok(response.streaming(Box::pin(chunks)))
}

/// An answer on its way.
struct Outflow {
    state: Data<State>,
    permit: Permit,
    base_url: String,
    layout: Layout,
    items: std::vec::IntoIter<Item>,
    media: Rendered,
    wish: Wish,
    whole: bool,
    ended: bool,
}

impl Outflow {
    /// The next part with its head; at last the end of the body, then nothing.
    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        for Item { row, what } in self.items.by_ref() {
            let location = match &what {
                What::Frame(number) => format!("{}/frames/{number}", instance_url(&self.base_url, &row)),
                What::Animation(_) | What::Representative => instance_url(&self.base_url, &row),
            };
            let order: Order = order(what, self.media, &self.wish)?;
            let path = row.path.clone();
            let picture = match self.state.archive.draw(&self.permit, row, order).await {
                Ok(picture) => picture,
                Err(error) if !self.whole && error.is_of_one_instance() => {
                    tracing::warn!(%error, instance = %path, "left out of a rendered answer");
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let head = self.layout.push(&PartHead {
                content_type: self.media.name(),
                content_location: Some(&location),
                length: picture.len() as u64,
            });
            let mut part = BytesMut::with_capacity(head.len() + picture.len());
            part.extend_from_slice(&head);
            part.extend_from_slice(&picture);
            return Ok(Some(part.freeze()));
        }
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        Ok(Some(self.layout.tail()))
    }
}
