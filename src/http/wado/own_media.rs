//! Videos and encapsulated documents as what they are: one part under their
//! own media type, as a `<video>` element or a browser wants them (PS3.18
//! section 10.4.1.1.3). Nothing is rendered here: `rendered/` does that.
//!
//! A stored document comes from anywhere and is shown on this server's origin:
//! what a browser would run is handed out as a download or in a sandbox.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    PIXEL_DATA,
    answer::{identity_of, instance_url, one_row},
};
use crate::{
    archive::{Frames, Scope, View},
    dicom::InstanceUid,
    http::{
        Problem, State,
        body::{FirstBytes, Part, Representation},
        media::MediaType,
        negotiate::{Accept, media_of, names},
    },
};

const DOCUMENT: &str = "00420011";

/// Media types that are shown in place, with the ending of their file names.
/// Nothing that a browser would run on its own stands here.
const SHOWN: [(&str, &str); 13] = [
    ("video/mp4", "mp4"),
    ("video/mpeg", "mpg"),
    ("video/h265", "h265"),
    ("application/pdf", "pdf"),
    ("text/xml", "xml"),
    ("application/xml", "xml"),
    ("text/plain", "txt"),
    ("model/stl", "stl"),
    ("model/obj", "obj"),
    ("model/mtl", "mtl"),
    ("application/sla", "stl"),
    ("image/jpeg", "jpg"),
    ("image/png", "png"),
];

/// How a browser is to treat a stored document.
pub struct Presented {
    /// The value of `Content-Disposition`.
    pub disposition: String,
    /// The value of `Content-Security-Policy`.
    pub policy: Option<&'static str>,
}

impl Presented {
    pub fn new(media_type: &str, instance: &InstanceUid) -> Self {
        let known = SHOWN.iter().find(|(name, _)| media_type.eq_ignore_ascii_case(name));
        let kind = if known.is_some() { "inline" } else { "attachment" };
        let ending = known.map_or("bin", |(_, ending)| ending);
        // XML may carry scripts; a PDF viewer does not work in a sandbox.
        let is_text = known.is_none_or(|(name, _)| name.ends_with("xml") || name.starts_with("text/"));
        Self {
            disposition: format!("{kind}; filename=\"{instance}.{ending}\""),
            policy: is_text.then_some("sandbox; default-src 'none'; style-src 'unsafe-inline'"),
        }
    }
}

impl Presented {
    /// To be kept as a file of this name, which is ASCII without quotes.
    pub fn download(name: &str) -> Self {
        Self { disposition: format!("attachment; filename=\"{name}\""), policy: None }
    }
}

/// An instance as its own media type.
pub async fn own_media(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
) -> Result<HttpResponse, Problem> {
    let accept = Accept::of(request, state.config.strict.accept)?;
    accept.refuse_mixed()?;
    let base_url = state.base_url(request)?;
    let first_bytes = FirstBytes::of(request);
    let permit = state.permit(request);
    let of_view = base_url.clone();
    let represented = state.archive.retrieve(&permit, move |view| {
        Ok::<_, Problem>(represent(view, &accept, &of_view, &scope)?.loaded(view, first_bytes)?)
    });
    represented.await?.send(state, request, &base_url).await
}

pub fn represent(
    view: &View<'_>,
    accept: &Accept,
    base_url: &str,
    scope: &Scope,
) -> Result<Representation, Problem> {
    let row = one_row(view, scope)?;
    let url = instance_url(base_url, &row);
    let (pieces, media_type) = match row.frames {
        Frames::Video(_) => {
            let names = names(media_of(&row.transfer_syntax));
            (view.bulk(&row, PIXEL_DATA)?.pieces, names[0].to_owned())
        }
        Frames::None => {
            let value = view.bulk(&row, DOCUMENT).map_err(|_| not_rendered(&url))?;
            // The declared text of a strange file must not get into a header.
            let declared = value.media_type.as_deref().and_then(MediaType::parse);
            let media_type =
                declared.map_or_else(|| "application/octet-stream".to_owned(), |media| media.essence);
            (value.pieces.slice(0..value.document_bytes), media_type)
        }
        Frames::Native { .. } | Frames::Single(_) | Frames::Table { .. } => return Err(not_rendered(&url)),
    };
    if accept.one_of(&[&media_type]).is_err() {
        return Err(Problem::not_acceptable(format!(
            "it is a {media_type} and is not made into anything else: add that to Accept"
        )));
    }
    let presented = Presented::new(&media_type, &row.path.instance);
    let mut identity = identity_of(&row);
    identity.update(b"rendered");
    let part = Part { content_type: media_type, location: Some(url), pieces };
    Ok(Representation::single(part, &identity).presented(Some(presented)))
}

fn not_rendered(url: &str) -> Problem {
    Problem::not_acceptable(format!(
        "it is neither a video nor an encapsulated document; fetch the pixels from {url}/frames/1 or the file from {url}"
    ))
}
